// Reports how Argo CD judges objects: their health, and what its actions do to them. It is Argo CD's own code that reads
// the scripts and runs them; this only asks it, many times in one process.
//
//	argocd-lua config FILE    scripts of a ConfigMap argocd-cm
//	argocd-lua built-in DIR   scripts in the layout of resource_customizations, as if Argo CD were built with them
//
// Each line of standard input is an object and perhaps the name of an action, as JSON; each gets one line in response.
package main

import (
	"bufio"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"unsafe"

	"github.com/argoproj/gitops-engine/pkg/health"
	log "github.com/sirupsen/logrus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/resource_customizations"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/argo-cd/v3/util/settings"
)

type question struct {
	Object unstructured.Unstructured `json:"object"`
	// Without it, health and the actions that are offered are asked for.
	Action string `json:"action"`
}

type answer struct {
	// Nil where Argo CD has no check for the kind.
	Health *health.HealthStatus `json:"health,omitempty"`
	// What is offered for the object.
	Actions []v1alpha1.ResourceAction `json:"actions,omitempty"`
	// What the action makes of the object.
	Result map[string]any `json:"result,omitempty"`
	Error  string         `json:"error,omitempty"`
}

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: argocd-lua config FILE | built-in DIR"))
	}
	log.SetLevel(log.WarnLevel)
	overrides, err := scripts(os.Args[1], os.Args[2])
	if err != nil {
		fail(err)
	}
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked question
		if err := json.Unmarshal(line, &asked); err != nil {
			fail(err)
		}
		told, err := tell(overrides, asked)
		if err != nil {
			told.Error = err.Error()
		}
		if err := out.Encode(told); err != nil {
			fail(err)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "argocd-lua:", err)
	os.Exit(1)
}

func scripts(from, where string) (map[string]v1alpha1.ResourceOverride, error) {
	switch from {
	case "config":
		return configured(where)
	case "built-in":
		return nil, buildIn(where)
	}
	return nil, fmt.Errorf("%q is neither config nor built-in", from)
}

// Reads the ConfigMap as Argo CD's settings do, which find it by its label.
func configured(file string) (map[string]v1alpha1.ResourceOverride, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var config corev1.ConfigMap
	if err := yaml.UnmarshalStrict(text, &config); err != nil {
		return nil, err
	}
	var secret corev1.Secret
	secret.Name, secret.Namespace = "argocd-secret", config.Namespace
	secret.Labels = map[string]string{"app.kubernetes.io/part-of": "argocd"}
	secret.Data = map[string][]byte{"server.secretkey": []byte("any")}
	client := fake.NewClientset(&secret, &config)
	return settings.NewSettingsManager(context.Background(), client, config.Namespace).GetResourceOverrides()
}

// A file in the form that the compiler gives to embedded ones.
type embedded struct {
	name, data string
	hash       [16]byte
}

// Puts the scripts in the place of those that Argo CD was built with. The compiler lists files by folder, then by name, and
// the name of a folder ends with a slash.
func buildIn(root string) error {
	var files []embedded
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		inside, err := filepath.Rel(root, name)
		if err != nil || entry.IsDir() {
			files = append(files, embedded{name: inside + "/"})
			return err
		}
		text, err := os.ReadFile(name)
		files = append(files, embedded{name: inside, data: string(text)})
		return err
	})
	place := func(file embedded) (string, string) {
		folder, name := path.Split(strings.TrimSuffix(file.name, "/"))
		return strings.TrimSuffix(folder, "/"), name
	}
	sort.Slice(files, func(i, j int) bool {
		oneFolder, one := place(files[i])
		otherFolder, other := place(files[j])
		return oneFolder < otherFolder || oneFolder == otherFolder && one < other
	})
	if unsafe.Sizeof(embed.FS{}) != unsafe.Sizeof(&files) {
		return fmt.Errorf("this Go keeps embedded files in another form")
	}
	*(**[]embedded)(unsafe.Pointer(&resource_customizations.Embedded)) = &files
	return err
}

func tell(overrides map[string]v1alpha1.ResourceOverride, asked question) (told answer, err error) {
	// As the server has it, without the standard libraries.
	vm := lua.VM{ResourceOverrides: overrides}
	if asked.Action != "" {
		action, err := vm.GetResourceAction(&asked.Object, asked.Action)
		if err != nil {
			return told, err
		}
		changed, err := vm.ExecuteResourceAction(&asked.Object, action.ActionLua, nil)
		if err != nil {
			return told, err
		}
		if len(changed) != 1 || changed[0].K8SOperation != lua.PatchOperation {
			return told, fmt.Errorf("the action does more than to patch its object")
		}
		told.Result = changed[0].UnstructuredObj.Object
		return told, nil
	}
	told.Health, err = health.GetResourceHealth(&asked.Object, lua.ResourceHealthOverrides(overrides))
	if err != nil {
		return told, err
	}
	discovery, err := vm.GetResourceActionDiscovery(&asked.Object)
	if err != nil || len(discovery) == 0 {
		return told, err
	}
	told.Actions, err = vm.ExecuteResourceActionDiscovery(&asked.Object, discovery)
	return told, err
}
