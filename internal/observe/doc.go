// Package observe serves a running coordinator's Prometheus metrics, health endpoints and, if
// enabled, profiles.
//
//	coordinator ──Observer──▶ Metrics ──┐
//	            ◀──Stats on scrape──────┤
//	                                    ▼
//	      /metrics  /livez  /readyz  /healthz  (/debug/pprof/)
//
// The package does not log: the coordinator logs each transition itself. The package does not
// decide whether the coordinator is healthy: the server passes the functions Live and Ready.
//
// It keeps its part of I10: the number of label values does not grow with the number of sagas. A
// saga id is never a label value. Definitions beyond MaxDefinitions are counted together as
// "other".
//
// Names and labels are constants in name.go, and part of the public interface. docs/METRICS.md
// lists them, and a test compares both.
//
// If the coordinator is not ready or not live, the response is a 503 with the reason as text.
// Nothing here delays the coordinator.
package observe
