{{/* The name of everything: the release's, with the chart's behind it unless it is in there. */}}
{{- define "tianzi.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- default $full .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "tianzi.selector" -}}
app.kubernetes.io/name: tianzi
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "tianzi.labels" -}}
{{ include "tianzi.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "tianzi.image" -}}
{{- $tag := default .Chart.AppVersion .Values.image.tag -}}
{{- if .Values.gpu.enabled -}}{{- $tag = default (printf "%s-gpu" $tag) .Values.gpu.tag -}}{{- end -}}
{{ .Values.image.repository }}:{{ $tag }}
{{- end -}}

{{/* A value as the environment holds it. Helm reads every number as a float: 16777216 would become 1.6777216e+07. */}}
{{- define "tianzi.value" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ int64 . | toString | quote }}{{- else -}}{{ toString . | quote }}{{- end -}}
{{- end -}}

{{/* What a probe asks. Kubernetes' gRPC probe speaks no TLS: then the metrics port is asked, over HTTP. */}}
{{- define "tianzi.probe" -}}
{{- if .Values.tls.secretName -}}
httpGet: {path: /readyz, port: metrics}
{{- else -}}
grpc: {port: 50051}
{{- end -}}
{{- end -}}
