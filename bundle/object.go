package bundle

import (
	"encoding/json"
	"strconv"
)

// object is a JSON object that is being written, member by member; those that are zero are left out. It stands where encoding/json, which looks at a struct for
// 0.07 ms before it writes the first one, would delay a Create.
type object []byte

// name adds a member's name.
func (o object) name(name string) object {
	if len(o) > 0 {
		o = append(o, ',')
	} else {
		o = append(o, '{')
	}
	return append(strconv.AppendQuote(o, name), ':') // names are plain letters
}

func (o object) flag(name string, v bool) object {
	if !v {
		return o
	}
	return append(o.name(name), "true"...)
}

func (o object) number(name string, v uint32) object {
	if v == 0 {
		return o
	}
	return strconv.AppendUint(o.name(name), uint64(v), 10)
}

func (o object) text(name, v string) object {
	if v == "" {
		return o
	}
	quoted, err := json.Marshal(v)
	if err != nil { // it never fails for a string
		return o
	}
	return append(o.name(name), quoted...)
}

// bytes ends the object.
func (o object) bytes() []byte {
	if len(o) == 0 {
		return []byte("{}")
	}
	return append(o, '}')
}
