package server_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"eid.example/idp/storage/sqldb"
)

// process is `idp serve` as an operator starts it.
type process struct {
	*exec.Cmd
	url   string
	basic [2]string // id and secret of a client
	ended chan error
}

// TestStopUnderLoadLosesNothing sends about 200 requests a second, over kept-alive and over new
// connections, and tells the process to stop in the middle. Every request that it took is answered.
func TestStopUnderLoadLosesNothing(t *testing.T) {
	binary := compiled(t)
	t.Run("embedded", func(t *testing.T) { stopUnderLoad(t, binary, nil) })
	if c, ok := production(); ok {
		t.Run("production", func(t *testing.T) {
			stopUnderLoad(t, binary, []string{"IDP_DATABASE_URL=" + ownSchema(t, c.DatabaseURL), "IDP_REDIS_URL=" + c.RedisURL})
		})
	}
}

// compiled is the program as it is delivered.
func compiled(t testing.TB) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "idp")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/idp").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// ownSchema returns an address of the database that leads to a schema of this test alone.
func ownSchema(t testing.TB, address string) string {
	t.Helper()
	schema := "t" + strings.ToLower(rand.Text())
	db, err := sqldb.Open(t.Context(), address, sqldb.Options{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	dropLater(t, address, schema)
	return inSchema(t, address, schema)
}

// inSchema returns an address of the database that leads to a schema of it.
func inSchema(t testing.TB, address, schema string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

func stopUnderLoad(t *testing.T, binary string, stores []string) {
	p := start(t, binary, stores)
	var answered, failed atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var senders sync.WaitGroup
	for i := range 8 {
		keep := i%2 == 0
		senders.Go(func() { p.send(ctx, t, keep, &answered, &failed) })
	}
	for answered.Load() < 100 && failed.Load() == 0 && t.Context().Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-p.ended; err != nil {
		t.Errorf("the process ended with %v", err)
	}
	stop()
	senders.Wait()
	if failed.Load() > 0 || answered.Load() < 100 {
		t.Errorf("%d requests failed, %d were answered", failed.Load(), answered.Load())
	}
}

// send asks for tokens 25 times a second until the server takes no more connections.
func (p *process) send(ctx context.Context, t *testing.T, keep bool, answered, failed *atomic.Int64) {
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: !keep}}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := p.token(client)
		switch {
		case err == nil:
			answered.Add(1)
		case errors.Is(err, syscall.ECONNREFUSED):
			return // it has gone: nothing was taken
		default:
			failed.Add(1)
			t.Errorf("a request failed: %v", err)
		}
	}
}

func (p *process) token(client *http.Client) error {
	// A body that cannot be read again keeps the client from sending the request twice in silence.
	body := io.NopCloser(strings.NewReader("grant_type=client_credentials"))
	req, err := http.NewRequest("POST", p.url+"/oauth2/token", body)
	if err != nil {
		return err
	}
	req.ContentLength = int64(len("grant_type=client_credentials"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(p.basic[0], p.basic[1])
	res, err := client.Do(req)
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

var printedSecret = regexp.MustCompile(`secret of (\S+), shown only now: (\S+)`)

// start registers a client and starts the server on free ports.
func start(t testing.TB, binary string, stores []string) *process {
	t.Helper()
	dir := t.TempDir()
	root := make([]byte, 32)
	rand.Read(root)
	files := map[string]string{
		"root.key": base64.StdEncoding.EncodeToString(root) + "\n",
		"clients.yaml": `clients:
  - {client_id: load, client_name: Load, domain: load.example, grant_types: [client_credentials], client_secret: generate,
     agreement: {number: "1", date: "2026-01-01", reviewer: A}}
`}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := freeAddress(t)
	env := append(os.Environ(), "IDP_DATABASE_URL=", "IDP_REDIS_URL=", "IDP_DATA_DIR="+dir, "IDP_ISSUER=http://localhost", "IDP_LISTEN="+address, "IDP_OPS_LISTEN="+freeAddress(t))
	env = append(env, stores...)
	apply := exec.Command(binary, "client", "apply", "-f", filepath.Join(dir, "clients.yaml"))
	apply.Env = env
	out, err := apply.CombinedOutput()
	found := printedSecret.FindSubmatch(out)
	if err != nil || found == nil {
		t.Fatalf("client apply: %v\n%s", err, out)
	}
	p := &process{Cmd: exec.Command(binary, "serve"), url: "http://" + address, basic: [2]string{string(found[1]), string(found[2])}, ended: make(chan error, 1)}
	p.Env = env
	p.run(t)
	return p
}

// run starts the process, waits until it serves, and checks every line of its log.
func (p *process) run(t testing.TB) {
	t.Helper()
	log, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill() }) // it has ended, unless the test failed
	serving := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(log)
		for lines.Scan() {
			var line struct{ Msg, Level string }
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				t.Errorf("a line of the log is not JSON: %s", lines.Text())
			}
			if strings.Contains(lines.Text(), p.basic[1]) {
				t.Errorf("the client's secret is in the log: %s", lines.Text())
			}
			if line.Level == "ERROR" {
				t.Errorf("logged: %s", lines.Text())
			}
			if line.Msg == "serving" {
				close(serving)
			}
		}
		p.ended <- p.Wait()
	}()
	select {
	case <-serving:
	case err := <-p.ended:
		t.Fatalf("serve ended with %v", err)
	case <-time.After(time.Minute):
		t.Fatal("serve does not come up")
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
