package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// buildCoordinator builds the coordinator of this repository into dir and returns its path.
func buildCoordinator(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "coordinator")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "./cmd/coordinator")
	build.Dir = filepath.Join("..", "..")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return "", fmt.Errorf("build the coordinator (run this program in test/peers): %w", err)
	}
	return path, nil
}

// runAmends measures Amends with files in dir.
func runAmends(ctx context.Context, dir string, r run) (figures, error) {
	bench := exec.CommandContext(ctx, r.coordinator, "bench", "run", "--output", "json", "--dir", dir,
		"--in-flight", strconv.Itoa(r.inFlight), "--mix", r.mix, "--for", r.d.String())
	bench.Cancel = func() error { return bench.Process.Signal(os.Interrupt) }
	log, err := os.Create(filepath.Join(dir, "amends.log"))
	if err != nil {
		return figures{}, err
	}
	defer log.Close()
	bench.Stderr = log
	output, err := bench.Output()
	if err != nil {
		return figures{}, fmt.Errorf("coordinator bench: %w; its last words: %s", err, lastLines(log.Name()))
	}
	var f figures
	if err := json.Unmarshal(output, &f); err != nil {
		return figures{}, fmt.Errorf("read what coordinator bench printed: %w", err)
	}
	return f, nil
}
