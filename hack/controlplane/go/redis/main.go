// A Redis in memory on the address that the first argument names, for Argo CD, which keeps its cache in one. Built with Go
// like everything else here, so a machine needs no package of its distribution; Argo CD's own command line runs the same
// library where it has no Redis. That library counts lifetimes down only on a call, hence the ticker.
package main

import (
	"log"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: redis HOST:PORT")
	}
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(os.Args[1]); err != nil {
		log.Fatal(err)
	}
	for range time.Tick(time.Second) {
		server.FastForward(time.Second)
	}
}
