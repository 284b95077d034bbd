// Package observe shows a running coordinator to the outside: Prometheus
// metrics, health endpoints, and profiles when they are asked for.
//
//	coordinator ──Observer──▶ Metrics ──┐
//	            ◀──Stats on scrape──────┤
//	                                    ▼
//	      /metrics  /livez  /readyz  /healthz  (/debug/pprof/)
//
// It does not log: the coordinator writes one line for each transition itself.
// It does not decide whether the coordinator is healthy: Live and Ready are
// given to it.
//
// It keeps its part of I10: no label's values grow with the number of sagas. A
// saga id is never a label, and definitions beyond MaxDefinitions are counted
// together as "other".
//
// Names and labels are constants in name.go. They are part of the interface:
// docs/METRICS.md lists them and a test keeps the two equal.
//
// Failure looks like a 503 with the reason as text, and nothing here makes the
// coordinator wait.
package observe
