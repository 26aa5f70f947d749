package bundle

import "fmt"

// maxIDLength is the longest identifier that containerd takes.
const maxIDLength = 76

// ValidateID checks an identifier by containerd's rule: runs of letters and digits
// (ASCII) with a single '.', '_' or '-' between any two, 76 bytes at most. So it
// is safe as a file name. The error wraps ErrInvalid.
func ValidateID(id string) error {
	if id == "" {
		return fmt.Errorf("identifier must not be empty: %w", ErrInvalid)
	}
	if len(id) > maxIDLength {
		return fmt.Errorf("identifier %.90q is longer than %d characters: %w", id, maxIDLength, ErrInvalid)
	}
	inWord := false // the last character was a letter or a digit
	for i := range len(id) {
		switch c := id[i]; {
		case isAlphanumeric(c):
			inWord = true
		case inWord && (c == '.' || c == '_' || c == '-'):
			inWord = false
		default:
			return badID(id)
		}
	}
	if !inWord {
		return badID(id)
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

func badID(id string) error {
	return fmt.Errorf("identifier %q must be letters and digits, with single '.', '_' or '-' between them: %w", id, ErrInvalid)
}
