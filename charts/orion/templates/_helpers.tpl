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

{{/* What the operator does in a namespace that it looks at. Data of Secrets is read and written by name; of all others only
metadata is asked for. */}}
{{- define "orion.rules" -}}
- apiGroups: [orion-db.dev]
  resources: [replicationgroups, databases]
  verbs: [get, list, watch, patch]
- apiGroups: [orion-db.dev]
  resources: [replicationgroups/status, databases/status]
  verbs: [patch]
# Where the owner of an object must be allowed to hold up its owner's deletion.
- apiGroups: [orion-db.dev]
  resources: [replicationgroups/finalizers, databases/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [configmaps, serviceaccounts]
  verbs: [get, list, watch, create, patch]
# Of lists only metadata is asked for. RBAC has no word for that.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [list, watch, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors]
  verbs: [get, create, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
