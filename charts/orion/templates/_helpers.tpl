{{/* The name of all objects: the release's, so that the default release "orion" gives "orion-operator". */}}
{{- define "orion.name" -}}
{{- printf "%s-operator" (.Release.Name | trunc 54 | trimSuffix "-") -}}
{{- end -}}

{{- define "orion.account" -}}
{{- .Values.serviceAccount.name | default (include "orion.name" .) -}}
{{- end -}}

{{- define "orion.selector" -}}
app.kubernetes.io/name: orion-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "orion.labels" -}}
{{ include "orion.selector" . }}
app.kubernetes.io/part-of: orion
{{- end -}}
