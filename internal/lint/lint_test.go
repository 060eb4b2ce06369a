package lint

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module   = "github.com/sluice-go/sluice"
	maxLines = 800
)

// source is one .go file of the tree.
type source struct {
	path   string // below the root, with slashes
	dir    string // "." for the root
	module string // the folder of its go.mod; "." for the product
	test   bool
	text   []byte
	file   *ast.File
	fset   *token.FileSet
}

// imports are the paths that the file imports.
func (s *source) imports() []string {
	var out []string
	for _, i := range s.file.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// tree parses every .go file below the module's root.
func tree(t *testing.T) []*source {
	t.Helper()
	root := os.DirFS(filepath.Join("..", ".."))
	modules := map[string]bool{}
	var all []*source
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && p != "." && (name[0] == '.' || name[0] == '_' || name == "testdata"):
			return fs.SkipDir
		case name == "go.mod":
			modules[path.Dir(p)] = true
		case !d.IsDir() && strings.HasSuffix(name, ".go"):
			text, err := fs.ReadFile(root, p)
			if err != nil {
				return err
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, p, text, parser.ParseComments)
			if err != nil {
				return err
			}
			all = append(all, &source{path: p, dir: path.Dir(p), test: strings.HasSuffix(name, "_test.go"), text: text, file: file, fset: fset})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 || !modules["."] {
		t.Fatalf("%d files and the modules %v: this is not the tree", len(all), modules)
	}
	for _, s := range all {
		s.module = s.dir
		for !modules[s.module] {
			s.module = path.Dir(s.module)
		}
	}
	return all
}

// within tells whether dir is parent or lies below it.
func within(dir, parent string) bool { return dir == parent || strings.HasPrefix(dir, parent+"/") }

// ours is the folder of a package of the product; ok is false for anybody else's.
func ours(importPath string) (dir string, ok bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// arrows say which packages of the product a folder's code, save its tests, may import, and which modules beside the standard
// library. The longest folder that fits counts.
var arrows = map[string]struct{ ours, others []string }{
	"internal/tracker": {},
	"internal/fold":    {},
	"internal/engine":  {[]string{"internal/tracker"}, []string{"github.com/twmb/franz-go"}},
	"internal/seam":    {[]string{"internal/engine"}, []string{"github.com/twmb/franz-go"}},
	".":                {[]string{"internal/engine", "internal/fold", "internal/seam"}, []string{"github.com/twmb/franz-go"}},
	"sluicetest": {
		[]string{".", "internal/bubble", "internal/engine", "internal/seam"}, []string{"github.com/twmb/franz-go"},
	},
	"sqlsink":             {[]string{"."}, []string{"github.com/twmb/franz-go"}},
	"sqlsink/sqlsinktest": {[]string{".", "sqlsink"}, []string{"github.com/twmb/franz-go"}},
	"internal/bubble":     {nil, []string{"github.com/twmb/franz-go"}},
	"internal/sim":        {[]string{".", "internal/bubble"}, []string{"github.com/twmb/franz-go"}},
	"metrics":             {[]string{"."}, []string{"github.com/twmb/franz-go", "github.com/prometheus"}},
	"tracing":             {[]string{"."}, []string{"github.com/twmb/franz-go", "go.opentelemetry.io/otel"}},
	"monitor":             {[]string{"."}, []string{"github.com/twmb/franz-go"}},
	"monitor/burrow":      {[]string{"monitor"}, nil},
	"monitor/exporter":    {[]string{"monitor"}, []string{"github.com/prometheus"}},
	"monitor/alert":       {[]string{".", "monitor"}, []string{"github.com/twmb/franz-go/pkg/kerr"}},
}

func TestImportsPointOneWay(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range tree(t) {
		rule, ok := arrows[s.dir]
		seen[s.dir] = true
		if !ok || s.test {
			continue
		}
		for _, p := range s.imports() {
			dir, product := ours(p)
			switch {
			case product && !slices.Contains(rule.ours, dir):
				t.Errorf("%s imports %s", s.path, p)
			case !product && !standard(p) && !slices.ContainsFunc(rule.others, func(m string) bool { return within(p, m) }):
				t.Errorf("%s imports %s", s.path, p)
			}
		}
	}
	for dir := range arrows {
		if !seen[dir] {
			t.Errorf("no package %s: its rule holds nothing", dir)
		}
	}
}

func TestNobodyImportsWhatIsOnlyForTestsOrPrograms(t *testing.T) {
	for _, s := range tree(t) {
		for _, p := range s.imports() {
			dir, product := ours(p)
			if !product {
				continue
			}
			for _, only := range []string{"internal/sim", "internal/bubble", "internal/mutants", "internal/lint"} {
				if within(dir, only) && !s.test && !within(s.dir, "internal/sim") && !within(s.dir, "sluicetest") {
					t.Errorf("%s imports %s, which is for tests", s.path, p)
				}
			}
			for _, top := range []string{"cmd", "test", "bench", "tools"} {
				if within(dir, top) && !within(s.dir, top) && s.module == "." {
					t.Errorf("%s imports %s, which stands above it", s.path, p)
				}
			}
		}
	}
}

func TestTheSQLSinkKnowsNoDriver(t *testing.T) {
	drivers := []string{
		"github.com/go-sql-driver", "github.com/jackc", "github.com/lib/pq", "modernc.org/sqlite", "github.com/mattn/go-sqlite3",
	}
	for _, s := range tree(t) {
		if !within(s.dir, "sqlsink") || s.test {
			continue
		}
		for _, p := range s.imports() {
			if slices.ContainsFunc(drivers, func(d string) bool { return within(p, d) }) {
				t.Errorf("%s imports the driver %s", s.path, p)
			}
		}
	}
}

func TestNoFileIsTooLong(t *testing.T) {
	for _, s := range tree(t) {
		if n := bytes.Count(s.text, []byte("\n")); n > maxLines && !ast.IsGenerated(s.file) {
			t.Errorf("%s has %d lines, more than %d", s.path, n, maxLines)
		}
	}
}

// bubbled tells whether a test file runs in virtual time: only there a sleep takes none.
func (s *source) bubbled() bool {
	return slices.ContainsFunc(s.imports(), func(p string) bool { return p == "testing/synctest" || p == module+"/internal/bubble" })
}

func TestNoTestSleeps(t *testing.T) {
	for _, s := range tree(t) {
		if !s.test || s.bubbled() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && selects(call.Fun, "sluicetest", "Bubble") {
				return false
			}
			if sel, ok := n.(*ast.SelectorExpr); ok && selects(sel, "time", "Sleep") {
				t.Errorf("%s: time.Sleep outside a bubble: wait for a condition", s.fset.Position(n.Pos()))
			}
			return true
		})
	}
}

// selects tells whether an expression is pkg.name.
func selects(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	of, ok := sel.X.(*ast.Ident)
	return ok && of.Name == pkg
}

func TestEachPackageHasOneComment(t *testing.T) {
	comments := map[string][]string{} // of a folder
	for _, s := range tree(t) {
		if s.test {
			continue
		}
		if _, ok := comments[s.dir]; !ok {
			comments[s.dir] = nil
		}
		if s.file.Doc == nil {
			continue
		}
		comments[s.dir] = append(comments[s.dir], s.path)
		name := s.file.Name.Name
		text := s.file.Doc.Text()
		if want := "Package " + name + " "; name != "main" && !strings.HasPrefix(text, want) {
			t.Errorf("%s: the package's comment does not begin with %q", s.path, want)
		}
	}
	for dir, files := range comments {
		if len(files) != 1 {
			t.Errorf("package %s has %d comments, want one: %v", dir, len(files), files)
		}
	}
}
