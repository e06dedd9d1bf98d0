{{- /* Generated from operator/tallystick by `make chart`. Change the code there, not this file. */ -}}
{{- /* The names of the use cases, as a JSON list. */ -}}
{{- define "tallystick.useCaseNames" -}}
{{- keys .Values.useCases | default (list "artifactory-cold" "federated-repo" "mission-control") | sortAlpha | toJson -}}
{{- end }}
