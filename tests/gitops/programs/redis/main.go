// A server of the Redis protocol in memory, which Argo CD uses as its cache. Its argument is the address.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/alicebob/miniredis/v2"
)

func main() {
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// Keys of miniredis expire only as its own clock goes on.
	for range time.Tick(time.Second) {
		server.FastForward(time.Second)
	}
}
