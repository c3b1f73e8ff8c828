{{/* The name of everything: that of the release, with the name of the chart if it is not in it. */}}
{{- define "outcrop.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "outcrop.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "outcrop.labels" -}}
{{ include "outcrop.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "outcrop.serviceAccount" -}}
{{- if .Values.serviceAccount.name -}}
{{- .Values.serviceAccount.name -}}
{{- else if .Values.serviceAccount.create -}}
{{- include "outcrop.name" . -}}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "outcrop.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "outcrop.scheme" -}}
{{- if .Values.tls.secretName }}https{{ else }}http{{ end -}}
{{- end -}}

{{/* The settings above the tables. A JSON value of these types is a TOML value. */}}
{{- define "outcrop.settings" -}}
listen = "0.0.0.0:50051"
metrics_listen = "0.0.0.0:{{ .Values.metrics.port }}"
lame_duck = "{{ .Values.drain.lameDuckSeconds }}s"
grace = "{{ .Values.drain.graceSeconds }}s"
{{- with .Values.region }}
region = {{ . | toJson }}
{{- end }}
{{- if .Values.tls.secretName }}
tls_cert = "/etc/outcrop/tls/tls.crt"
tls_key = "/etc/outcrop/tls/tls.key"
{{- if .Values.tls.clientCaSecretName }}
tls_client_ca = "/etc/outcrop/client-ca/ca.crt"
tls_client_certs = "optional"
{{- end }}
{{- end }}
{{- with .Values.redis.address }}
conversations = {{ . | toJson }}
{{- end }}
{{- if .Values.redis.passwordSecretName }}
conversations_password_file = "/etc/outcrop/redis/{{ .Values.redis.passwordSecretKey }}"
{{- end }}
{{- range $key, $value := .Values.settings }}
{{ $key }} = {{ if kindIs "float64" $value }}{{ $value | int64 }}{{ else }}{{ $value | toJson }}{{ end }}
{{- end }}
{{- end -}}
