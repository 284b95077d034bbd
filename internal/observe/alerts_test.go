package observe_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const alertsDir = "../../observe/alerts"

// alert is a rule in the alerts file.
type alert struct {
	Alert       string
	Expr        string
	Labels      map[string]string
	Annotations map[string]string
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func alerts(t *testing.T) (all []alert) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []alert } }
	readYAML(t, filepath.Join(alertsDir, "amends.rules.yml"), &file)
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there are no alerts")
	}
	return all
}

var (
	metricName = regexp.MustCompile(`\b(?:amends|process|go)_[a-z0-9_]+|\bup\b`)
	selector   = regexp.MustCompile(`([a-z0-9_]+)\{([^}]*)\}`)
	grouping   = regexp.MustCompile(`\bby \(([^)]*)\)`)
	labelName  = regexp.MustCompile(`([a-z_]+)\s*(?:=|!=|=~|!~)\s*"`)
)

// checkExpr returns an error text for each metric or label in an expression that does not exist.
func checkExpr(names map[string][]string, expr string) (wrong []string) {
	for _, name := range metricName.FindAllString(expr, -1) {
		if _, ok := names[name]; !ok {
			wrong = append(wrong, "there is no metric "+name)
		}
	}
	for _, s := range selector.FindAllStringSubmatch(expr, -1) {
		for _, l := range labelName.FindAllStringSubmatch(s[2], -1) {
			if !slices.Contains(append([]string{"job", "instance"}, names[s[1]]...), l[1]) {
				wrong = append(wrong, s[1]+" has no label "+l[1])
			}
		}
	}
	all := []string{"job", "instance"}
	for _, name := range metricName.FindAllString(expr, -1) {
		all = append(all, names[name]...)
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(g[1], ",") {
			if !slices.Contains(all, strings.TrimSpace(label)) {
				wrong = append(wrong, "nothing has a label "+strings.TrimSpace(label))
			}
		}
	}
	return wrong
}

func TestCheckExprCanFail(t *testing.T) {
	for expr, want := range map[string]string{
		`rate(amends_sagas_begun_total[5m])`:                                   "there is no metric amends_sagas_begun_total",
		`amends_sagas_open{step="a", phase="parked"}`:                          "amends_sagas_open has no label step",
		`sum by (le, phase) (rate(amends_commit_duration_seconds_bucket[5m]))`: "nothing has a label phase",
		`amends_commit_duration_seconds > 1`:                                   "there is no metric amends_commit_duration_seconds",
	} {
		if wrong := checkExpr(served(t), expr); !slices.Equal(wrong, []string{want}) {
			t.Errorf("%s: %q, want %q", expr, wrong, want)
		}
	}
}

// TestAlerts checks that every alert uses existing metrics, has a severity, and links to its
// section in the runbook. Every section of the runbook has an alert.
func TestAlerts(t *testing.T) {
	runbook, err := os.ReadFile(filepath.Join("..", "..", "docs", "RUNBOOK.md"))
	if err != nil {
		t.Fatal(err)
	}
	var sections, names []string
	for _, m := range regexp.MustCompile(`(?m)^## (Amends\w+)\n\n\*(\w+)\.\*`).FindAllStringSubmatch(string(runbook), -1) {
		sections = append(sections, m[1]+" "+strings.ToLower(m[2]))
	}
	exist := served(t)
	for _, a := range alerts(t) {
		names = append(names, a.Alert+" "+a.Labels["severity"])
		for _, wrong := range checkExpr(exist, a.Expr) {
			t.Errorf("%s: %s", a.Alert, wrong)
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]) {
			t.Errorf("%s: severity %q", a.Alert, a.Labels["severity"])
		}
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" {
			t.Errorf("%s has no description", a.Alert)
		}
		if want := "https://github.com/amends-dev/amends/blob/main/docs/RUNBOOK.md#" + strings.ToLower(a.Alert); a.Annotations["runbook_url"] != want {
			t.Errorf("%s leads to %q, want %s", a.Alert, a.Annotations["runbook_url"], want)
		}
	}
	slices.Sort(sections)
	slices.Sort(names)
	if !slices.Equal(sections, names) {
		t.Errorf("the runbook's sections and the alerts differ:\n%q\n%q", sections, names)
	}
}

// TestAlertsAreTested checks that every alert has one test in which it fires, and one in which it
// does not.
func TestAlertsAreTested(t *testing.T) {
	var file struct {
		Tests []struct {
			Cases []struct {
				Alertname string
				Alerts    []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	readYAML(t, filepath.Join(alertsDir, "amends.rules.test.yml"), &file)
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, c := range test.Cases {
			fires[c.Alertname] = fires[c.Alertname] || len(c.Alerts) > 0
			quiet[c.Alertname] = quiet[c.Alertname] || len(c.Alerts) == 0
		}
	}
	for _, a := range alerts(t) {
		if !fires[a.Alert] || !quiet[a.Alert] {
			t.Errorf("%s: a case that fires: %v, one that does not: %v", a.Alert, fires[a.Alert], quiet[a.Alert])
		}
	}
}

// promtool runs Prometheus's promtool, or skips the test if promtool is missing.
func promtool(t *testing.T, dir string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian's package prometheus): the expressions are not run")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestAlertsWithPromtool(t *testing.T) {
	promtool(t, alertsDir, "check", "rules", "amends.rules.yml")
	promtool(t, alertsDir, "test", "rules", "amends.rules.test.yml")
}

// TestMetricsLint checks that promtool finds no problems in the names and types of the metrics.
func TestMetricsLint(t *testing.T) {
	_, text := get(t, observed(nil).Handler(), "/")
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian's package prometheus): the metrics are not linted")
	}
	cmd := exec.CommandContext(t.Context(), path, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
