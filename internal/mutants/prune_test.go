//go:build mutants

package mutants

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// Most of a build is the compiler at work on tests that then do not run. So a mutant is built with the tests of its invariant alone, and
// with what they use. Were something left out that they need, the build would fail.

// testFile is a file of tests.
type testFile struct {
	path string
	text []byte
	tree *ast.File
}

// testDecl is one declaration of a file of tests.
type testDecl struct {
	file *testFile
	ast.Decl
	kept bool
}

// pruned are the files of tests of a folder, by path, without what the given tests do not use. What is left stays on its line.
func pruned(t *testing.T, dir string, tests *regexp.Regexp) map[string][]byte {
	t.Helper()
	files := parseTests(t, dir)
	var decls, kept []*testDecl
	named := make(map[string][]*testDecl) // by package and name, those of a type with its methods
	types := make(map[string]bool)        // that are the tests' own
	for _, f := range files {
		for _, node := range f.tree.Decls {
			d := &testDecl{file: f, Decl: node}
			decls = append(decls, d)
			for name, isType := range declared(node) {
				name = f.tree.Name.Name + "." + name
				named[name] = append(named[name], d)
				types[name] = types[name] || isType
			}
		}
	}
	keep := func(d *testDecl) {
		if !d.kept {
			d.kept = true
			kept = append(kept, d)
		}
	}
	for _, d := range decls {
		f, ok := d.Decl.(*ast.FuncDecl)
		switch {
		case !ok:
		case f.Recv != nil && types[d.file.tree.Name.Name+"."+receiver(f)]:
		case f.Recv != nil, f.Name.Name == "init", f.Name.Name == "TestMain", tests.MatchString(f.Name.Name):
			keep(d) // of methods of the code's own types, nobody can tell here who calls them
		}
	}
	for len(kept) > 0 {
		d := kept[0]
		kept = kept[1:]
		ast.Inspect(d.Decl, func(n ast.Node) bool {
			name := ""
			switch n := n.(type) {
			case *ast.Ident:
				name = d.file.tree.Name.Name + "." + n.Name
			case *ast.SelectorExpr: // of another package, perhaps the one that the tests are of
				if x, ok := n.X.(*ast.Ident); ok {
					name = x.Name + "." + n.Sel.Name
				}
			}
			for _, o := range named[name] {
				keep(o)
			}
			return true
		})
	}
	out := make(map[string][]byte)
	for _, f := range files {
		f.leaveOut(decls)
		out[f.path] = f.text
	}
	return out
}

// leaveOut takes out of a file what is not kept, and the packages that nothing needs then.
func (f *testFile) leaveOut(decls []*testDecl) {
	used := make(map[string]bool) // as packages, most likely
	for _, d := range decls {
		switch {
		case d.file != f:
		case d.kept:
			ast.Inspect(d.Decl, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok {
						used[x.Name] = true
					}
				}
				return true
			})
		case !isImport(d.Decl):
			f.blank(d.Decl)
		}
	}
	for _, d := range f.tree.Decls {
		if isImport(d) {
			f.blankImports(d.(*ast.GenDecl), used)
		}
	}
}

func parseTests(t *testing.T, dir string) []*testFile {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all []*testFile
	for _, p := range paths {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := parser.ParseFile(token.NewFileSet(), p, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &testFile{path: p, text: text, tree: tree})
	}
	return all
}

// declared are the names of a declaration, and whether each is a type's. A method goes with its type.
func declared(d ast.Decl) map[string]bool {
	names := make(map[string]bool)
	switch d := d.(type) {
	case *ast.FuncDecl:
		names[d.Name.Name] = false
		if d.Recv != nil {
			names = map[string]bool{receiver(d): false}
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				names[s.Name.Name] = true
			case *ast.ValueSpec:
				for _, n := range s.Names {
					names[n.Name] = false
				}
			}
		}
	}
	return names
}

// receiver is the name of a method's type.
func receiver(f *ast.FuncDecl) (name string) {
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name // of a generic type, the first one
		}
		return true
	})
	return name
}

func isImport(d ast.Decl) bool {
	g, ok := d.(*ast.GenDecl)
	return ok && g.Tok == token.IMPORT
}

// blankImports takes out the packages that are not used.
func (f *testFile) blankImports(d *ast.GenDecl, used map[string]bool) {
	for _, s := range d.Specs {
		name := importName(s.(*ast.ImportSpec))
		switch {
		case name == "_" || used[name]:
		case d.Lparen.IsValid():
			f.blank(s)
		default:
			f.blank(d)
		}
	}
}

var majorForm = regexp.MustCompile(`^v\d+$`)

// importName is what a file calls a package that it imports.
func importName(i *ast.ImportSpec) string {
	if i.Name != nil {
		return i.Name.Name
	}
	from, err := strconv.Unquote(i.Path.Value)
	if err != nil {
		return ""
	}
	if majorForm.MatchString(path.Base(from)) {
		from = path.Dir(from)
	}
	return path.Base(from)
}

// blank takes a piece of the file out.
func (f *testFile) blank(n ast.Node) {
	from, to := n.Pos(), n.End()
	for _, c := range f.tree.Comments { // a directive of its own
		if c.End()+1 == from {
			from = c.Pos()
		}
	}
	at := f.tree.FileStart
	for i := from - at; i < to-at; i++ {
		if f.text[i] != '\n' {
			f.text[i] = ' '
		}
	}
}
