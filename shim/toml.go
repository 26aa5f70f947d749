package shim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// tomlValue is the text of a value, quotes included.
type tomlValue string

// parseTOML calls set for every `key = value` of the top level of text, in order. It knows the part of TOML that a flat table of
// strings, integers and booleans needs: comments, both kinds of one-line strings, quoted keys. Arrays, inline tables and strings
// of several lines are values that set gets as text; everything from the first [table] header on is passed over.
func parseTOML(text string, set func(key string, v tomlValue) error) error {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); {
		number := i + 1
		line := strings.TrimSpace(stripComment(lines[i]))
		i++
		if line == "" {
			continue
		}
		if line[0] == '[' {
			return nil
		}
		key, value, err := splitPair(line)
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		for open(value) && i < len(lines) {
			value += "\n" + strings.TrimSpace(stripComment(lines[i]))
			i++
		}
		if err := set(key, tomlValue(value)); err != nil {
			return fmt.Errorf("line %d: %s: %w", number, key, err)
		}
	}
	return nil
}

// splitPair splits `key = value`.
func splitPair(line string) (key, value string, err error) {
	if line[0] == '"' || line[0] == '\'' {
		end := strings.IndexByte(line[1:], line[0])
		if end < 0 {
			return "", "", errors.New("key without closing quote")
		}
		key, line = line[1:end+1], line[end+2:]
		if !strings.HasPrefix(strings.TrimSpace(line), "=") {
			key += "." // a dotted key: none of ours
		}
	}
	before, value, ok := strings.Cut(line, "=")
	if !ok {
		return "", "", errors.New("want key = value")
	}
	key += strings.TrimSpace(before)
	value = strings.TrimSpace(value)
	if key == "" || value == "" {
		return "", "", errors.New("want key = value")
	}
	return key, value, nil
}

// stripComment removes a comment, which begins at a # outside of a string.
func stripComment(line string) string {
	end, _ := scan(line)
	return line[:end]
}

// open tells whether value goes on in the next line: a bracket or a string of several lines is not closed.
func open(value string) bool {
	for _, quote := range []string{`"""`, `'''`} {
		if strings.HasPrefix(value, quote) {
			return !strings.Contains(value[len(quote):], quote)
		}
	}
	_, depth := scan(value)
	return depth > 0
}

// scan returns where the text of s ends, before a comment, and how many brackets are open there.
func scan(s string) (end, depth int) {
	var quote byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0:
			if c == '\\' && quote == '"' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			return i, depth
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		}
	}
	return len(s), depth
}

func (v tomlValue) bool(p *bool) error {
	switch v {
	case "true":
		*p = true
	case "false":
		*p = false
	default:
		return fmt.Errorf("want true or false, have %s", string(v))
	}
	return nil
}

func (v tomlValue) uint32(p *uint32) error {
	n, err := strconv.ParseUint(strings.ReplaceAll(strings.TrimPrefix(string(v), "+"), "_", ""), 0, 32)
	if err != nil {
		return fmt.Errorf("want an integer from 0 to %d, have %s", uint32(1<<32-1), string(v))
	}
	*p = uint32(n)
	return nil
}

func (v tomlValue) string(p *string) error {
	s := string(v)
	if len(s) < 2 || s[0] != s[len(s)-1] || strings.HasPrefix(s, `"""`) || strings.HasPrefix(s, `'''`) {
		return fmt.Errorf("want a string on one line, have %s", s)
	}
	switch s[0] {
	case '\'':
		if strings.Contains(s[1:len(s)-1], "'") {
			return fmt.Errorf("want one string, have %s", s)
		}
		*p = s[1 : len(s)-1]
		return nil
	case '"':
		text, err := strconv.Unquote(s)
		if err != nil {
			return fmt.Errorf("want a string, have %s", s)
		}
		*p = text
		return nil
	default:
		return fmt.Errorf("want a string, have %s", s)
	}
}
