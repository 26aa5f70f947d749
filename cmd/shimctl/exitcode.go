package main

import "strings"

// exitCodeOf reads from the words of a failed Create or Start whose fault it was, as docker and podman do: the command is not there (127), it is
// there but cannot be executed (126), or something else (125). The texts are those of runc 1.1 to 1.5 and of crun.
func exitCodeOf(message string) int {
	text := strings.ToLower(message)
	if strings.Contains(text, "executable file not found") || strings.Contains(text, "executable file `") {
		return exitNotFound
	}
	if !strings.Contains(text, "exec ") && !strings.Contains(text, "exec:") && !strings.Contains(text, "open executable") {
		return exitFailure
	}
	if strings.Contains(text, "no such file or directory") {
		return exitNotFound
	}
	for _, reason := range []string{"permission denied", "exec format error", "is a directory", "not a directory"} {
		if strings.Contains(text, reason) {
			return exitNotExecutable
		}
	}
	return exitFailure
}
