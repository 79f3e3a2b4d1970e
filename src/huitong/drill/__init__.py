"""The drill: attacks of a catalogue are tried for real against a fresh instance with made-up people, and what came of each is judged.

Nothing here touches an instance in use: the drill makes its own, serves it on this machine alone, and removes it afterwards."""
