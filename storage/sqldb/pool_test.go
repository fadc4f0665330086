package sqldb

import (
	"runtime"
	"testing"
)

func TestThePoolIsAsLargeAsTheOptionsOrTheAddressSay(t *testing.T) {
	t.Parallel()
	const address = "postgres://idp@127.0.0.1/idp"
	for _, c := range []struct {
		address string
		option  int32
		want    int32
	}{
		{address, 0, max(8, int32(4*runtime.NumCPU()))},
		{address + "?pool_max_conns=3", 0, 3},
		{address + "?pool_max_conns=3", 5, 5},
	} {
		cfg, err := postgresConfig(c.address, Options{MaxConns: c.option})
		if err != nil || cfg.MaxConns != c.want {
			t.Errorf("%+v: %v %v", c, cfg, err)
		}
	}
}
