package outcrop

import (
	"bytes"
	"encoding/json"
	"io"
	"math/big"

	"google.golang.org/protobuf/types/known/structpb"
)

// maxNesting: protobuf decoders refuse values that are nested deeper.
const maxNesting = 30

var (
	exact   = new(big.Int).Lsh(big.NewInt(1), 53)
	maximum = new(big.Int).Lsh(big.NewInt(1), 64)
	minimum = new(big.Int).Neg(new(big.Int).Lsh(big.NewInt(1), 63))
)

// facts are what decides how JSON text is kept.
type facts struct {
	isExact, isLong bool
	nesting         int
}

// valueOf returns JSON text as a value, and whether the text has to be kept, because its whole numbers are not exact as doubles and the server accepts
// them in text. Text that is not JSON is a string.
func valueOf(text string) (value *structpb.Value, keep bool) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	var decoded any
	if err := decoder.Decode(&decoded); err != nil {
		return structpb.NewStringValue(text), false
	}
	if _, err := decoder.Token(); err != io.EOF {
		return structpb.NewStringValue(text), false
	}
	found := facts{isExact: true}
	found.examine(decoded, 0)
	if !found.isExact && !found.isLong && found.nesting <= maxNesting {
		return nil, true
	}
	value, err := structpb.NewValue(nested(decoded, maxNesting))
	if err != nil {
		return structpb.NewStringValue(text), false
	}
	return value, false
}

func (f *facts) examine(value any, depth int) {
	switch value := value.(type) {
	case json.Number:
		if whole, ok := new(big.Int).SetString(value.String(), 10); ok {
			f.isExact = f.isExact && whole.CmpAbs(exact) <= 0
			f.isLong = f.isLong || whole.Cmp(minimum) < 0 || whole.Cmp(maximum) >= 0
		}
	case []any:
		f.nesting = max(f.nesting, depth+1)
		for _, one := range value {
			f.examine(one, depth+1)
		}
	case map[string]any:
		f.nesting = max(f.nesting, depth+1)
		for _, one := range value {
			f.examine(one, depth+1)
		}
	}
}

// nested has JSON text in place of what is nested deeper than the levels, and doubles in place of numbers.
func nested(value any, levels int) any {
	switch value := value.(type) {
	case json.Number:
		double, _ := value.Float64()
		return double
	case []any:
		if levels == 0 {
			break
		}
		items := make([]any, len(value))
		for at, one := range value {
			items[at] = nested(one, levels-1)
		}
		return items
	case map[string]any:
		if levels == 0 {
			break
		}
		members := make(map[string]any, len(value))
		for name, one := range value {
			members[name] = nested(one, levels-1)
		}
		return members
	default:
		return value
	}
	text, _ := json.Marshal(value)
	return string(text)
}
