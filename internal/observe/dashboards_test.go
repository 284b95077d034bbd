package observe_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/amends-dev/amends/internal/observe"
)

const dashboardsDir = "../../observe/grafana/dashboards"

// dashboard is the part of a dashboard that the tests examine.
type dashboard struct {
	UID, Title string
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
		}
	}
	Panels []struct {
		ID          int
		Type, Title string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ Expr, LegendFormat string }
	}
}

func dashboards(t *testing.T) map[string]dashboard {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dashboardsDir, "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	all := map[string]dashboard{}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard
		if err := json.Unmarshal(data, &d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all[filepath.Base(path)] = d
	}
	return all
}

// plainExpr replaces Grafana's variables in an expression.
func plainExpr(expr string) string {
	return strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*", "$definition", "checkout").Replace(expr)
}

// TestDashboards checks that dashboards use only existing metrics and labels.
func TestDashboards(t *testing.T) {
	exist := served(t)
	uids := map[string]string{}
	variable := regexp.MustCompile(`\$\{?([a-z]+)`)
	for file, d := range dashboards(t) {
		if other := uids[d.UID]; d.UID == "" || d.Title == "" || other != "" {
			t.Errorf("%s: uid %q, title %q, the uid is also that of %q", file, d.UID, d.Title, other)
		}
		uids[d.UID] = file
		variables := []string{}
		for _, v := range d.Templating.List {
			variables = append(variables, v.Name)
			if query, ok := v.Query.(map[string]any); ok {
				for _, wrong := range checkExpr(exist, query["query"].(string)) {
					t.Errorf("%s: variable %s: %s", file, v.Name, wrong)
				}
			}
		}
		ids := map[int]bool{}
		for i, p := range d.Panels {
			if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 {
				t.Errorf("%s: panel %q: id %d, place %+v", file, p.Title, p.ID, p.GridPos)
			}
			ids[p.ID] = true
			for _, q := range d.Panels[:i] {
				a, b := p.GridPos, q.GridPos
				if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
					t.Errorf("%s: panels %q and %q overlap", file, p.Title, q.Title)
				}
			}
			if p.Type != "row" && len(p.Targets) == 0 {
				t.Errorf("%s: panel %q has no query", file, p.Title)
			}
			for _, target := range p.Targets {
				for _, wrong := range checkExpr(exist, plainExpr(target.Expr)) {
					t.Errorf("%s: panel %q: %s", file, p.Title, wrong)
				}
				for _, v := range variable.FindAllStringSubmatch(strings.ReplaceAll(target.Expr, "$__rate_interval", ""), -1) {
					if !slices.Contains(variables, v[1]) {
						t.Errorf("%s: panel %q uses $%s, which is not a variable", file, p.Title, v[1])
					}
				}
			}
		}
	}
}

// TestEveryMetricIsShown checks that every metric of the catalogue is on a dashboard.
func TestEveryMetricIsShown(t *testing.T) {
	var all strings.Builder
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				all.WriteString(target.Expr + "\n")
			}
		}
	}
	for _, m := range observe.Catalogue() {
		if !strings.Contains(all.String(), m.Name) {
			t.Errorf("%s is on no dashboard", m.Name)
		}
	}
}

// TestDashboardsWithPromtool checks that promtool accepts the dashboards' queries as recording
// rules.
func TestDashboardsWithPromtool(t *testing.T) {
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var rules []rule
	seen := map[string]bool{}
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				if expr := plainExpr(target.Expr); !seen[expr] {
					seen[expr] = true
					rules = append(rules, rule{"dashboard:" + strings.Repeat("q", len(rules)+1), expr})
				}
			}
		}
	}
	data, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboards", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dashboards.yml"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, dir, "check", "rules", "dashboards.yml")
	promtool(t, alertsDir, "check", "config", "prometheus.yml")
}

// TestComposeProfile checks the compose profile observability. It mounts existing files, scrapes
// the coordinator under the job name that the alerts expect, and pins its images.
func TestComposeProfile(t *testing.T) {
	var file struct {
		Services map[string]struct {
			Image       string
			Profiles    []string
			Volumes     []string
			Environment map[string]string
		}
	}
	readYAML(t, filepath.Join("..", "..", "docker-compose.yml"), &file)
	pinned := regexp.MustCompile(`^\$\{[A-Z]+_IMAGE:-[a-z/]+:v?\d+\.\d+\.\d+\}$`)
	for _, name := range []string{"prometheus", "grafana", "jaeger"} {
		s := file.Services[name]
		if !slices.Equal(s.Profiles, []string{"observability"}) || !pinned.MatchString(s.Image) {
			t.Errorf("%s: profiles %q, image %q", name, s.Profiles, s.Image)
		}
		for _, v := range s.Volumes {
			if from, _, _ := strings.Cut(v, ":"); strings.HasPrefix(from, ".") && !exists(filepath.Join("..", "..", from)) {
				t.Errorf("%s mounts %s, which is not there", name, from)
			}
		}
	}
	var sources struct {
		Datasources []struct{ UID, Type, URL string }
	}
	readYAML(t, "../../observe/grafana/provisioning/datasources/amends.yml", &sources)
	for _, s := range sources.Datasources {
		if host, _, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":"); file.Services[host].Image == "" {
			t.Errorf("data source %s is at %s, which is no service of the compose file", s.UID, s.URL)
		}
	}
	var providers struct {
		Providers []struct{ Options struct{ Path string } }
	}
	readYAML(t, "../../observe/grafana/provisioning/dashboards/amends.yml", &providers)
	mount := "./observe/grafana/dashboards:" + providers.Providers[0].Options.Path + ":ro"
	if grafana := file.Services["grafana"]; !slices.Contains(grafana.Volumes, mount) {
		t.Errorf("Grafana looks for dashboards where nothing is mounted: %q", grafana.Volumes)
	}
	var scrape struct {
		Configs []struct {
			Name    string                       `yaml:"job_name"`
			Targets []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	readYAML(t, "../../observe/alerts/prometheus.yml", &scrape)
	if c := scrape.Configs[0]; c.Name != "amends" || !slices.Equal(c.Targets[0].Targets, []string{"coordinator:8080"}) {
		t.Errorf("Prometheus scrapes %+v", scrape.Configs)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
