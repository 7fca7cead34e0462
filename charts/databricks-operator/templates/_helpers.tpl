{{- /* Names, labels and small functions. Nothing here renders an object. */ -}}

{{- /* Gives each value that is null or missing the default of values.yaml, so that a section that was emptied is as if left
out. Helm deletes what is null, with all defaults in it. Every template begins with this: nobody knows which is the first. */ -}}
{{- define "databricks-operator.defaults" -}}
{{- range $path, $default := .Files.Get "files/defaults.yaml" | fromYaml -}}
{{- $place := $.Values -}}
{{- $keys := splitList "." $path -}}
{{- range initial $keys -}}
{{- if not (kindIs "map" (index $place .)) -}}
{{- $_ := set $place . dict -}}
{{- end -}}
{{- $place = index $place . -}}
{{- end -}}
{{- if kindIs "invalid" (index $place (last $keys)) -}}
{{- $_ := set $place (last $keys) $default -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "databricks-operator.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{- /* At most 52 characters, so that there is room for an ending. */ -}}
{{- define "databricks-operator.fullname" -}}
{{- $name := include "databricks-operator.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- /* The name of what is outside the release's namespace. A namespace has no dot in it, so two releases never share one. */ -}}
{{- define "databricks-operator.wideName" -}}
{{ include "databricks-operator.fullname" . }}.{{ .Release.Namespace }}
{{- end }}

{{- /* Names go through toYaml: it quotes those that YAML would read as a number or a truth value, such as 007 and no. */ -}}
{{- define "databricks-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "databricks-operator.name" . | toYaml }}
app.kubernetes.io/instance: {{ .Release.Name | toYaml }}
{{- end }}

{{- define "databricks-operator.labels" -}}
{{- $chart := printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 -}}
{{- $own := dict "helm.sh/chart" (regexReplaceAll "[-_.]+$" $chart "") -}}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := merge $own (include "databricks-operator.selectorLabels" . | fromYaml) -}}
{{ toYaml (merge $own .Values.commonLabels) }}
{{- end }}

{{- define "databricks-operator.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default (include "databricks-operator.fullname" .) }}
{{- end }}

{{- define "databricks-operator.subject" -}}
- kind: ServiceAccount
  name: {{ include "databricks-operator.serviceAccountName" . | toYaml }}
  namespace: {{ .Release.Namespace | toYaml }}
{{- end }}

{{- define "databricks-operator.leaseName" -}}
{{- /* In a namespace that others use too, with the release's own. */ -}}
{{- $own := .Values.operator.leaseNamespace | empty | ternary (include "databricks-operator.fullname" .) (include "databricks-operator.wideName" .) -}}
{{ .Values.operator.leaseName | default $own }}
{{- end }}

{{- define "databricks-operator.image" -}}
{{- $image := .Values.image -}}
{{- $registry := $image.registry | default .Values.global.imageRegistry -}}
{{- if $registry }}{{ $registry | trimSuffix "/" }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* The fields of a pod that the list's second element names, each from the values, or from `global` where these say nothing;
templates in them are filled in. */ -}}
{{- define "databricks-operator.podFields" -}}
{{- $root := index . 0 -}}
{{- range $field := index . 1 }}
{{- with get $root.Values $field | default (get $root.Values.global $field) }}
{{ $field }}: {{- include "databricks-operator.tpl" (list $root .) | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What each pod needs to start in this cluster: the Secrets of the registry, and nodes that it may run on. */ -}}
{{- define "databricks-operator.start" -}}
{{ include "databricks-operator.podFields" (list . (list "imagePullSecrets" "nodeSelector" "tolerations")) | trim }}
{{- end }}

{{- /* The value as YAML, templates in it filled in. */ -}}
{{- define "databricks-operator.tpl" -}}
{{- $value := index . 1 -}}
{{ tpl (kindIs "string" $value | ternary $value (toYaml $value)) (index . 0) }}
{{- end }}

{{- /* Milliseconds of a duration such as 1h30m. */ -}}
{{- define "databricks-operator.milliseconds" -}}
{{- $units := dict "h" 3600000 "m" 60000 "s" 1000 "ms" 1 -}}
{{- $sum := 0 -}}
{{- range regexFindAll "[0-9]+(ms|h|m|s)" . -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $sum = add $sum (mul (trimSuffix $unit . | int64) (get $units $unit)) -}}
{{- end -}}
{{ $sum }}
{{- end }}

{{- define "databricks-operator.healthPort" -}}
{{ regexFind "[0-9]+$" .Values.operator.healthAddress }}
{{- end }}

{{- define "databricks-operator.metricsName" -}}
{{ include "databricks-operator.fullname" . }}-metrics
{{- end }}

{{- /* The flags of the operator as one mapping. The chart gives them names in camel case, like values. */ -}}
{{- define "databricks-operator.flags" -}}
{{- $flags := deepCopy .Values.operator -}}
{{- $_ := set $flags "leaseName" (include "databricks-operator.leaseName" .) -}}
{{- $_ := set $flags "installation" .Values.installation -}}
{{- $_ := set $flags "namespaces" .Values.scope.watchNamespaces -}}
{{- $_ := set $flags "selector" .Values.scope.watchLabelSelector -}}
{{- $_ := set $flags "httpsProxy" .Values.proxy.https -}}
{{- $_ := set $flags "noProxy" .Values.proxy.noProxy -}}
{{- if or .Values.caBundle.configMapName .Values.caBundle.secretName -}}
{{- $_ := set $flags "caBundle" "/etc/databricks-operator/ca/ca.crt" -}}
{{- end -}}
{{- $metrics := .Values.metrics -}}
{{- /* At the same addresses as health. */ -}}
{{- $host := regexReplaceAll "[0-9]+$" .Values.operator.healthAddress "" -}}
{{- $_ := set $flags "metricsAddress" (ternary (printf "%s%d" $host (int $metrics.port)) "Off" $metrics.enabled) -}}
{{- if and $metrics.enabled $metrics.tls.secretName -}}
{{- $_ := set $flags "metricsTlsCert" "/etc/databricks-operator/metrics/tls.crt" -}}
{{- $_ := set $flags "metricsTlsKey" "/etc/databricks-operator/metrics/tls.key" -}}
{{- $_ := set $flags "metricsAuth" $metrics.auth -}}
{{- end -}}
{{ toYaml $flags }}
{{- end }}

{{- /* The arguments of the operator as a list: a flag without a value is left to the operator. */ -}}
{{- define "databricks-operator.args" -}}
- run
{{- range $name, $value := include "databricks-operator.flags" . | fromYaml }}
{{- $text := kindIs "string" $value | ternary $value (kindIs "slice" $value | ternary (join "," $value) (toJson $value)) }}
{{- if and $text (ne $text "[]") }}
- {{ printf "--%s=%s" (kebabcase $name) $text | quote }}
{{- end }}
{{- end }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The namespaces that Secrets may be read in, if not everywhere. */ -}}
{{- define "databricks-operator.secretNamespaces" -}}
{{ .Values.rbac.secretNamespaces | default .Values.scope.watchNamespaces | toJson }}
{{- end }}

{{- /* Whether an object of a kind that others define is rendered: the list has the root, `renderMode`, group, version and kind, and the
value's name. Nothing else asks what the cluster knows. */ -}}
{{- define "databricks-operator.isRendered" -}}
{{- $mode := index . 1 -}}
{{- $there := (index . 0).Capabilities.APIVersions.Has (index . 2) -}}
{{- if and (eq $mode "failIfMissing") (not $there) -}}
{{- fail (printf "\n\n  %s.enabled: the cluster does not know %s. Install its CRD, or set %s.renderMode to skipIfMissing or alwaysRender\n" (index . 3) (index . 2) (index . 3)) -}}
{{- end -}}
{{- if or $there (eq $mode "alwaysRender") }}true{{ end -}}
{{- end }}

{{- /* The name of what may be in a namespace that others use too: the list has the root and the value of the namespace. */ -}}
{{- define "databricks-operator.nameIn" -}}
{{- $root := index . 0 -}}
{{- $elsewhere := and (index . 1) (ne (index . 1) $root.Release.Namespace) -}}
{{ include (ternary "databricks-operator.wideName" "databricks-operator.fullname" (not (not $elsewhere))) $root }}
{{- end }}

{{- /* What a ServiceMonitor and a PodMonitor have in common: an endpoint. The list has the root and the monitor's values. */ -}}
{{- define "databricks-operator.endpoint" -}}
{{- $root := index . 0 -}}
{{- $monitor := index . 1 -}}
{{- $tls := $root.Values.metrics.tls.secretName -}}
port: metrics
path: /metrics
{{- if $tls }}
{{- $ca := dict "secret" (dict "name" $tls "key" "ca.crt") }}
{{- $server := printf "%s.%s.svc" (include "databricks-operator.metricsName" $root) $root.Release.Namespace }}
scheme: https
tlsConfig: {{- toYaml ($monitor.tlsConfig | default (dict "ca" $ca "serverName" $server)) | nindent 2 }}
{{- end }}
{{- with $monitor.authorization }}
authorization: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $monitor.interval }}
interval: {{ . }}
{{- end }}
{{- with $monitor.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
{{- with $monitor.relabelings }}
relabelings: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $monitor.metricRelabelings }}
metricRelabelings: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
