"""`photone up`: server, worker, player and watcher as one family of processes."""
