{{/* The chart's name. */}}
{{- define "saga-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of objects in the release's namespace. */}}
{{- define "saga-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "saga-operator.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "saga-operator.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The name of objects outside of namespaces: two releases that look at a namespace each must not share them. */}}
{{- define "saga-operator.clusterName" -}}
{{- if .Values.watchNamespaces -}}
{{- printf "%s-%s" .Release.Namespace (include "saga-operator.fullname" .) | trunc 100 | trimSuffix "-" -}}
{{- else -}}
{{- include "saga-operator.fullname" . -}}
{{- end -}}
{{- end -}}

{{- define "saga-operator.selector" -}}
app.kubernetes.io/name: {{ include "saga-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Labels and annotations of an object. Call with (dict "root" $ "component" NAME), and "labels" and "annotations" where there are more. */}}
{{- define "saga-operator.metadata" -}}
labels:
  {{- include "saga-operator.selector" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
  app.kubernetes.io/part-of: saga-operator
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
  {{- with merge (dict) (default (dict) .labels) .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "saga-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "saga-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name must name an account when serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The operator as the API server names it. */}}
{{- define "saga-operator.user" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "saga-operator.serviceAccountName" . }}
{{- end -}}

{{- define "saga-operator.image" -}}
{{- $name := .Values.image.repository -}}
{{- with .Values.image.registry }}{{- $name = printf "%s/%s" . $name -}}{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $name .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "saga-operator.leaseName" -}}
{{- default (include "saga-operator.fullname" .) .Values.leaderElection.resourceName -}}
{{- end -}}

{{- define "saga-operator.leaseNamespace" -}}
{{- default .Release.Namespace .Values.leaderElection.resourceNamespace -}}
{{- end -}}

{{/* What the Pod Security level `restricted` asks of a pod, and a group for writable volumes. */}}
{{- define "saga-operator.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* And of a container. */}}
{{- define "saga-operator.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* A duration in milliseconds. */}}
{{- define "saga-operator.milliseconds" -}}
{{- if hasSuffix "ms" . -}}
{{- trimSuffix "ms" . | int64 -}}
{{- else if hasSuffix "m" . -}}
{{- mul (trimSuffix "m" . | int64) 60000 -}}
{{- else -}}
{{- mul (trimSuffix "s" . | int64) 1000 -}}
{{- end -}}
{{- end -}}

{{/* What the schema cannot compare. */}}
{{- define "saga-operator.validate" -}}
{{- with .Values.leaderElection -}}
{{- $lease := include "saga-operator.milliseconds" .leaseDuration | int64 -}}
{{- $renew := include "saga-operator.milliseconds" .renewDeadline | int64 -}}
{{- $retry := include "saga-operator.milliseconds" .retryPeriod | int64 -}}
{{- if gt $lease 600000 -}}
{{- fail (printf "leaderElection.leaseDuration is %s, and must be at most 10m" .leaseDuration) -}}
{{- end -}}
{{- if ge $renew $lease -}}
{{- fail (printf "leaderElection.renewDeadline is %s, and must be shorter than leaderElection.leaseDuration, which is %s" .renewDeadline .leaseDuration) -}}
{{- end -}}
{{- if ge (mul $retry 12) (mul $renew 10) -}}
{{- fail (printf "leaderElection.retryPeriod is %s, and 1.2 times that must be shorter than leaderElection.renewDeadline, which is %s" .retryPeriod .renewDeadline) -}}
{{- end -}}
{{- if lt $retry 50 -}}
{{- fail (printf "leaderElection.retryPeriod is %s, and must be at least 50ms: a leader writes once in each" .retryPeriod) -}}
{{- end -}}
{{- end -}}
{{- with .Values.metrics -}}
{{- if eq .port $.Values.healthProbe.port -}}
{{- fail (printf "metrics.port is %v, and must not be healthProbe.port" .port) -}}
{{- end -}}
{{- range $name := list "serviceMonitor" "podMonitor" "prometheusRule" -}}
{{- if and (get $.Values.metrics $name).enabled (not $.Values.metrics.enabled) -}}
{{- fail (printf "metrics.%s.enabled is true, and metrics.enabled must be too" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether to make an object of the Prometheus operator: call with (dict "root" $ "switch" NAME "kind" KIND). */}}
{{- define "saga-operator.monitors" -}}
{{- if (get .root.Values.metrics .switch).enabled -}}
{{- $mode := .root.Values.metrics.renderMode -}}
{{- if or (eq $mode "alwaysRender") (.root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind)) -}}
true
{{- else if eq $mode "failIfMissing" -}}
{{- fail (printf "metrics.%s.enabled is true, and the API server does not serve the kind %s of monitoring.coreos.com/v1: install the Prometheus operator's CRDs, or set metrics.renderMode to skipIfMissing" .switch .kind) -}}
{{- end -}}
{{- end -}}
{{- end -}}
