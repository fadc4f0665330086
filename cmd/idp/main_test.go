package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"eid.example/idp/storage/sqldb"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"idp": main})
}

// Every file of testdata is a session at the command line, with the real program.
func TestScripts(t *testing.T) {
	docs, err := filepath.Abs("../../docs")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("IDP_DATA_DIR", filepath.Join(e.WorkDir, "data"))
			e.Setenv("EXAMPLE", filepath.Join(docs, "clients.example.yaml"))
			e.Setenv("INVITATION", filepath.Join(docs, "invitation.example.yaml"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"listeners": listeners, "ready": ready, "token": token, "sql": sql, "keep": keep, "register": register,
		},
	})
}

// listeners sets IDP_ISSUER, IDP_LISTEN and IDP_OPS_LISTEN to free addresses.
func listeners(ts *testscript.TestScript, _ bool, _ []string) {
	for _, name := range []string{"IDP_LISTEN", "IDP_OPS_LISTEN"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		ts.Setenv(name, l.Addr().String())
		ts.Check(l.Close())
	}
	ts.Setenv("IDP_ISSUER", "http://"+ts.Getenv("IDP_LISTEN"))
}

// eventually tries until it succeeds; a machine may be slow.
func eventually(ts *testscript.TestScript, try func() error) {
	var err error
	for range 600 {
		if err = try(); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("in vain: %v", err)
}

// ready waits until the server in the background is.
func ready(ts *testscript.TestScript, _ bool, _ []string) {
	eventually(ts, func() error {
		res, err := http.Get("http://" + ts.Getenv("IDP_OPS_LISTEN") + "/readyz")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("readyz answers %d", res.StatusCode)
		}
		return nil
	})
}

// token ID SECRET waits until the server gives that client a token; "! token" wants a refusal now.
func token(ts *testscript.TestScript, neg bool, args []string) {
	ask := func() error {
		req, err := http.NewRequest("POST", ts.Getenv("IDP_ISSUER")+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth(url.QueryEscape(args[0]), url.QueryEscape(args[1]))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("%d %s", res.StatusCode, answer)
		}
		return err
	}
	if neg {
		if ask() == nil {
			ts.Fatalf("%s got a token", args[0])
		}
		return
	}
	eventually(ts, ask)
}

// keep NAME REGEXP sets a variable to what the group of the expression finds in the last output.
func keep(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("no %s in the output", args[1])
	}
	ts.Setenv(args[0], found[1])
}

// register TOKEN FILE registers a service; "! register" wants a refusal. CLIENT becomes the
// client_id of the answer.
func register(ts *testscript.TestScript, neg bool, args []string) {
	req, err := http.NewRequest("POST", ts.Getenv("IDP_ISSUER")+"/oauth2/register", strings.NewReader(ts.ReadFile(args[1])))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+args[0])
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	var answer map[string]any
	ts.Check(json.NewDecoder(res.Body).Decode(&answer))
	if (res.StatusCode == http.StatusCreated) == neg {
		ts.Fatalf("%d %v", res.StatusCode, answer)
	}
	if id, ok := answer["client_id"].(string); ok {
		ts.Setenv("CLIENT", id)
	}
}

// sql STATEMENT changes the embedded database, as whoever can write it might.
func sql(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sqldb.Open(context.Background(), ts.MkAbs("data/idp.db"), sqldb.Options{})
	ts.Check(err)
	defer db.Close()
	n, err := db.Exec(context.Background(), args[0])
	ts.Check(err)
	if n == 0 {
		ts.Fatalf("%s: nothing changed", args[0])
	}
}
