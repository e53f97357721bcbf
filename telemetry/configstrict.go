package telemetry

import (
	"fmt"
	"reflect"
	"strings"

	"go.opentelemetry.io/contrib/otelconf"
	"go.yaml.in/yaml/v3"
)

// notHonoured are parts of a configuration that otelconf reads and then does not look
// at, or that Weir's own metrics do not follow.
var notHonoured = map[string]string{
	"attribute_limits":                                     "set tracer_provider.limits and logger_provider.limits",
	"distribution":                                         "Weir has no settings there",
	"log_level":                                            "what OpenTelemetry has to say goes to Weir's log, see -log-level",
	"meter_provider.exemplar_filter":                       "exemplars are of the sampled events",
	"meter_provider.views":                                 "the metrics are those of the registry, whole",
	"meter_provider.readers[].periodic.producers":          "there is one producer, Weir's",
	"meter_provider.readers[].cardinality_limits":          "the sets of attributes are bounded anyway",
	"meter_provider.readers[].periodic.cardinality_limits": "the sets of attributes are bounded anyway",
	"resource.attributes_list":                             "set resource.attributes",
	"resource.detection/development":                       "set resource.attributes",
}

// checkStrictly refuses, by its place in the file, what would be ignored without a word:
// a key that there is not, a version of the format that is not known, and what is not
// honoured.
func checkStrictly(text []byte) error {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return err
	}
	if len(document.Content) == 0 {
		return fmt.Errorf("it is empty")
	}
	root := document.Content[0]
	for key, value := range members(root) {
		if key == "file_format" && value.Value != "1.0" && !strings.HasPrefix(value.Value, "1.0-") && !strings.Contains(value.Value, "${") {
			return fmt.Errorf("file_format %q is not known: it is 1.0", value.Value)
		}
	}
	return checkNode(root, reflect.TypeFor[otelconf.OpenTelemetryConfiguration](), "")
}

// members returns the keys and values of a mapping, in their order.
func members(node *yaml.Node) func(yield func(string, *yaml.Node) bool) {
	return func(yield func(string, *yaml.Node) bool) {
		for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
			if !yield(node.Content[i].Value, node.Content[i+1]) {
				return
			}
		}
	}
}

// checkNode checks that the keys below a node are those that its type has.
func checkNode(node *yaml.Node, as reflect.Type, path string) error {
	for as.Kind() == reflect.Pointer {
		as = as.Elem()
	}
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch {
	case as.Kind() == reflect.Slice && node.Kind == yaml.SequenceNode:
		for _, item := range node.Content {
			if err := checkNode(item, as.Elem(), path+"[]"); err != nil {
				return err
			}
		}
	case as.Kind() == reflect.Struct && node.Kind == yaml.MappingNode:
		types := map[string]reflect.Type{}
		for field := range as.Fields() {
			if name, _, _ := strings.Cut(field.Tag.Get("yaml"), ","); name != "" {
				types[name] = field.Type
			}
		}
		for key, value := range members(node) {
			where := strings.TrimPrefix(path+"."+key, ".")
			if why, ignored := notHonoured[where]; ignored {
				return fmt.Errorf("%s (line %d) is not honoured: %s", where, value.Line, why)
			}
			of, known := types[key]
			if !known && key != "<<" {
				return fmt.Errorf("%s (line %d) is not known", where, value.Line)
			}
			if known {
				if err := checkNode(value, of, where); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
