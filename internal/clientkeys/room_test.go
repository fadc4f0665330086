package clientkeys

import "testing"

func TestAFullCacheMakesRoomForOne(t *testing.T) {
	t.Parallel()
	m := map[int]int{}
	for n := range 2 * maxCached {
		makeRoom(m)
		m[n] = n
	}
	if _, newest := m[2*maxCached-1]; len(m) != maxCached || !newest {
		t.Errorf("%d entries, the newest among them: %v", len(m), newest)
	}
}
