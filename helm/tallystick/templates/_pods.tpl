{{- /* The metadata of a pod. Call it with (dict "root" $ "component" NAME "values" VALUES). */ -}}
{{- define "tallystick.podMetadata" -}}
labels:
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- include "tallystick.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
annotations:
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  tallystick.dev/use-cases-digest: {{ .root.Values.useCases | toJson | sha256sum }}
{{- end }}

{{- /* The part of a pod that all components have. There is no runAsUser, runAsGroup and fsGroup: the image has a
       numeric user, and runs under any other (OpenShift). */ -}}
{{- define "tallystick.podSpec" -}}
serviceAccountName: {{ .root.Release.Name }}-{{ .component }}
automountServiceAccountToken: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- /* Where the pod runs. */ -}}
{{- define "tallystick.placement" -}}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "tallystick.selector" $ | nindent 8 }}
  {{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- end }}

{{- /* The part of a container that all components have. */ -}}
{{- define "tallystick.container" -}}
image: {{ include "tallystick.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml .values.resources | nindent 2 }}
{{- with .values.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "tallystick.probes" -}}
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

{{- /* Mounts and volumes that all components have. The token is projected here, so that the kubelet mounts no other. */ -}}
{{- define "tallystick.mounts" -}}
- name: service-account
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- end }}

{{- define "tallystick.volumes" -}}
- name: service-account
  projected:
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap:
          name: kube-root-ca.crt
          items: [{key: ca.crt, path: ca.crt}]
      - downwardAPI:
          items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- end }}

{{- define "tallystick.useCasesMount" -}}
{{- if .Values.useCases }}
- name: use-cases
  mountPath: /etc/tallystick/use-cases
  readOnly: true
{{- end }}
{{- end }}

{{- define "tallystick.useCasesVolume" -}}
{{- if .Values.useCases }}
- name: use-cases
  configMap:
    name: {{ .Release.Name }}-use-cases
{{- end }}
{{- end }}

{{- /* The CA alone, without the private key. */ -}}
{{- define "tallystick.caMount" -}}
- name: ca
  mountPath: /etc/tallystick/ca
  readOnly: true
{{- end }}

{{- define "tallystick.caVolume" -}}
- name: ca
  secret:
    secretName: {{ include "tallystick.tlsSecret" . | quote }}
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}

{{- /* The flags that controller and exchange share. */ -}}
{{- define "tallystick.args" -}}
- --health-listen=:8081
- --public-urls={{ include "tallystick.publicURLs" . }}
{{- with .Values.issuer }}
- --issuer={{ . }}
{{- end }}
- --requester={{ .Values.requester }}
{{- if .Values.useCases }}
- --use-cases-file=/etc/tallystick/use-cases/use-cases.yaml
{{- end }}
- --log-level={{ .Values.logLevel }}
{{- end }}
