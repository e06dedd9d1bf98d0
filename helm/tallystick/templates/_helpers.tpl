{{- /* The labels of every object. */ -}}
{{- define "tallystick.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: tallystick
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: tallystick
{{- end }}

{{- /* The labels that select the pods of a component. They never change, because a Deployment's selector cannot.
       Call it with (dict "root" $ "component" NAME). */ -}}
{{- define "tallystick.selector" -}}
app.kubernetes.io/name: tallystick
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /* The watched namespaces and that of the release, sorted, as a JSON list. */ -}}
{{- define "tallystick.ownNamespaces" -}}
{{- append .Values.watchNamespaces .Release.Namespace | uniq | sortAlpha | toJson -}}
{{- end }}

{{- /* The URL of the exchange in the cluster. */ -}}
{{- define "tallystick.serviceURL" -}}
{{- $port := int .Values.exchange.service.port -}}
https://{{ .Release.Name }}-exchange.{{ .Release.Namespace }}.svc{{ if ne $port 443 }}:{{ $port }}{{ end }}
{{- end }}

{{- /* The URLs of the exchange, separated by commas. */ -}}
{{- define "tallystick.publicURLs" -}}
{{- .Values.publicURLs | default (list (include "tallystick.serviceURL" .)) | join "," -}}
{{- end }}

{{- define "tallystick.issuer" -}}
{{- .Values.issuer | default (include "tallystick.publicURLs" . | splitList "," | first) -}}
{{- end }}

{{- define "tallystick.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* The Secret with the certificate of the exchange. */ -}}
{{- define "tallystick.tlsSecret" -}}
{{- if eq .Values.tls.mode "existingSecret" -}}
{{ .Values.tls.existingSecret }}
{{- else -}}
{{ .Release.Name }}-exchange-tls
{{- end -}}
{{- end }}

{{- /* "true" if clients need a CA to verify the certificate of the exchange. */ -}}
{{- define "tallystick.hasCA" -}}
{{- if or (eq .Values.tls.mode "operator") (not .Values.tls.publicCA) -}}true{{- end -}}
{{- end }}

{{- /* Reject values that do not fit together. */ -}}
{{- define "tallystick.validate" -}}
{{- $version := .Capabilities.KubeVersion.Version -}}
{{- if and (eq .Values.requester "Policy") (semverCompare "<1.36.0-0" $version) -}}
{{- fail (printf "requester: Policy needs Kubernetes 1.36 or later, and this is %s; set requester: ServiceAccount (for `helm template`, you can add --kube-version 1.36.0 instead)" $version) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z][a-z0-9-]*$" .Release.Name) -}}
{{- fail (printf "the release name %s must begin with a letter and have no dot, because a Service has it; choose another name" .Release.Name) -}}
{{- end -}}
{{- if and (eq .Values.tls.mode "existingSecret") (not .Values.tls.existingSecret) -}}
{{- fail "tls.mode existingSecret needs tls.existingSecret; set it to the name of a Secret of type kubernetes.io/tls" -}}
{{- end -}}
{{- if and (eq .Values.tls.mode "certManager") (not .Values.tls.certManager.issuerRef.name) -}}
{{- fail "tls.mode certManager needs tls.certManager.issuerRef.name; set it to the name of an Issuer of cert-manager" -}}
{{- end -}}
{{- with .Values.exchange -}}
{{- if and .autoscaling.enabled (gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) -}}
{{- fail "exchange.autoscaling.minReplicas must not be greater than exchange.autoscaling.maxReplicas; lower it" -}}
{{- end -}}
{{- if and .ingress.enabled (not .ingress.hosts) -}}
{{- fail "exchange.ingress.enabled needs exchange.ingress.hosts; list the host names of publicURLs" -}}
{{- end -}}
{{- end -}}
{{- end }}
