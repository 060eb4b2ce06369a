package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// parallelConsumer is Confluent's Parallel Consumer, ordered by key, on the one partition. It stops after the window.
func parallelConsumer(name string, t task) arm {
	return arm{name, func(ctx context.Context, s *stage) (values, error) {
		ctx, cancel := context.WithTimeout(ctx, taskTimeout)
		defer cancel()
		classes, err := s.compileJava(ctx)
		if err != nil {
			return nil, err
		}
		topic, err := s.backlog(ctx, 1, oneRecords)
		if err != nil {
			return nil, err
		}
		number := func(n int64) string { return strconv.FormatInt(n, 10) }
		cmd := exec.CommandContext(ctx, "java", "-Xmx2g", "-cp", classes, "KeyConsumer", strings.Join(s.seeds, ","), topic, s.name("group"),
			number(int64(t.Workers)), number(t.Takes.Milliseconds()), number(t.WarmUp.Milliseconds()), number(t.Window.Milliseconds()))
		cmd.Stderr = os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		v, err := finish(ctx, cmd)
		if err != nil {
			return nil, err
		}
		return values{rate: v["records"] * 1e9 / v["nanos"], cpuMicros: v["cpu_nanos"] / 1e3 / v["records"], rss: v["peak_kib"] / 1024}, nil
	}}
}

// compileJava returns the class path of the Java arm; errLeftOut where Java's compiler or Maven is missing.
func (s *stage) compileJava(ctx context.Context) (string, error) {
	if s.classes != "" {
		return s.classes, nil
	}
	for _, tool := range []string{"java", "javac", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("%w: %s is not installed (openjdk-17-jdk-headless, maven)", errLeftOut, tool)
		}
	}
	source, jars := filepath.Join("consumer", "java"), filepath.Join("..", ".cache", "parallel-consumer")
	if _, err := os.Stat(filepath.Join(source, "pom.xml")); err != nil {
		return "", fmt.Errorf("run this in the folder bench: %w", err)
	}
	if found, _ := filepath.Glob(filepath.Join(jars, "parallel-consumer-core-*.jar")); len(found) == 0 {
		absolute, err := filepath.Abs(jars)
		if err != nil {
			return "", err
		}
		progressf("fetching Parallel Consumer's jars")
		if err := tool(ctx, "mvn", "-B", "-q", "-f", filepath.Join(source, "pom.xml"), "dependency:copy-dependencies",
			"-DoutputDirectory="+absolute); err != nil {
			return "", err
		}
	}
	out, err := os.MkdirTemp("", "sluice-bench-java-")
	if err != nil {
		return "", err
	}
	s.cleanUp = append(s.cleanUp, func() { _ = os.RemoveAll(out) })
	classPath := filepath.Join(jars, "*") + string(os.PathListSeparator) + out
	if err := tool(ctx, "javac", "-cp", classPath, "-d", out, filepath.Join(source, "KeyConsumer.java")); err != nil {
		return "", err
	}
	s.classes = classPath
	return classPath, nil
}

// tool runs a program whose output matters only when it fails.
func tool(ctx context.Context, argv ...string) error {
	text, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", argv[0], err), errors.New(string(text)))
	}
	return nil
}
