package dsl

import (
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strings"
)

// decimalFunctions compute exactly, as money and measures want it: 0.1 + 0.2
// is 0.3, and 1.10 + 2.20 is 3.30.
var decimalFunctions = []definition{
	{
		"decimal(x decimal) number",
		"A number, or the number that a text says, with all its digits.",
		func(c call) (any, error) { return argument[*decimal](c, 0).number(), nil },
		[]FunctionExample{{`decimal("19.90")`, `19.90`}, {`decimal("12345678901234567890.1")`, `12345678901234567890.1`}},
	},
	{
		"decimalAdd(a decimal, b decimal) number",
		"a + b, exactly.",
		exactly((*decimal).add),
		[]FunctionExample{{`decimalAdd("1.10", "2.20")`, `3.30`}, {`decimalAdd(0.1, 0.2)`, `0.3`}},
	},
	{
		"decimalSub(a decimal, b decimal) number",
		"a - b, exactly.",
		exactly((*decimal).subtract),
		[]FunctionExample{{`decimalSub("1.00", "0.99")`, `0.01`}},
	},
	{
		"decimalMul(a decimal, b decimal) number",
		"a * b, exactly. The result has the decimals of both; decimalRound takes some away.",
		exactly((*decimal).multiply),
		[]FunctionExample{{`decimalMul("19.90", 3)`, `59.70`}, {`decimalRound(decimalMul("19.90", "0.19"), 2)`, `3.78`}},
	},
	{
		"decimalDiv(a decimal, b decimal, scale int, [rounding rounding]) number",
		"a / b with scale decimals, rounded half_up if nothing else is said.",
		func(c call) (any, error) {
			q, err := argument[*decimal](c, 0).divide(argument[*decimal](c, 1), argument[int](c, 2), *argumentOr(c, 3, &halfUp))
			return q.numberOr(err)
		},
		[]FunctionExample{{`decimalDiv(10, 3, 2)`, `3.33`}, {`decimalDiv(1, 8, 2, "half_even")`, `0.12`}},
	},
	{
		"decimalRound(x decimal, scale int, [rounding rounding]) number",
		"x with scale decimals, rounded half_up if nothing else is said. A negative scale rounds to tens, hundreds and so on.",
		func(c call) (any, error) {
			d, err := argument[*decimal](c, 0).round(argument[int](c, 1), *argumentOr(c, 2, &halfUp))
			return d.numberOr(err)
		},
		[]FunctionExample{
			{`decimalRound("2.345", 2)`, `2.35`},
			{`decimalRound("2.345", 2, "half_even")`, `2.34`},
			{`decimalRound(7, 2)`, `7.00`},
			{`decimalRound(1250, -2, "floor")`, `1200`},
		},
	},
	{
		"decimalSum(list list) number",
		"The sum of a list of numbers, exactly.",
		func(c call) (any, error) {
			total := &decimal{digits: new(big.Int)}
			for i, item := range argument[[]any](c, 0) {
				d, err := decimalKind.value(item)
				if err != nil {
					return nil, fmt.Errorf("element %d %w", i, err)
				}
				if total, err = total.add(d.(*decimal)); err != nil {
					return nil, err
				}
				c.work(1)
			}
			return total.number(), nil
		},
		[]FunctionExample{{`decimalSum(["1.10", "2.20", 0.7])`, `4.00`}, {`decimalSum([])`, `0`}},
	},
	{
		"decimalCompare(a decimal, b decimal) int",
		"-1 if a is less than b, 1 if it is more, 0 if they are equal, with all their digits.",
		func(c call) (any, error) {
			a, b := sameScale(argument[*decimal](c, 0), argument[*decimal](c, 1))
			return a.Cmp(b), nil
		},
		[]FunctionExample{{`decimalCompare("1.10", "1.1")`, `0`}, {`decimalCompare("12345678901234567890.1", "12345678901234567890.2")`, `-1`}},
	},
}

// decimal is digits / 10^scale. It is immutable.
type decimal struct {
	digits *big.Int
	scale  int // never negative
}

// mostDigits bounds a decimal, on either side of the point.
const mostDigits = 1000

var errDigits = fmt.Errorf("the number has more than %d digits", mostDigits)

var decimalKind = func() *paramKind {
	k := prepared[*decimal]("a number", "a number, or text that says one: `1.10`, `-3`, `2e3`", func(text string) (any, error) { return parseDecimal(text) })
	fits, of := k.fits, k.of
	return &paramKind{
		words: k.words, doc: k.doc, prepare: k.prepare,
		fits: func(t reflect.Type) bool { return isNumeric(t) || fits(t) },
		of: func(v any) (any, error) {
			if _, err := numberOf(v); err != nil {
				return of(v)
			}
			text, err := AppendJSON(nil, v)
			if err != nil {
				return nil, fmt.Errorf("is wrong: %w", err)
			}
			d, err := parseDecimal(string(text))
			if err != nil {
				return nil, fmt.Errorf("is wrong: %w", err)
			}
			return d, nil
		},
	}
}()

// parseDecimal reads the text of a number as JSON has it.
func parseDecimal(text string) (*decimal, error) {
	rest := strings.TrimPrefix(text, "-")
	end := digits(rest, 0)
	whole, fraction := rest[:end], ""
	if rest = rest[end:]; strings.HasPrefix(rest, ".") {
		end = digits(rest, 1)
		if fraction = rest[1:end]; fraction == "" {
			whole = ""
		}
		rest = rest[end:]
	}
	exponent := 0
	if rest != "" && (rest[0] == 'e' || rest[0] == 'E') {
		sign, number := 1, strings.TrimPrefix(rest[1:], "+")
		if strings.HasPrefix(rest[1:], "-") {
			sign, number = -1, rest[2:]
		}
		if end = digits(number, 0); end > 0 && end == len(number) {
			rest = ""
			for _, c := range number {
				exponent = min(exponent*10+int(c-'0'), 2*mostDigits)
			}
			exponent *= sign
		}
	}
	if whole == "" || rest != "" {
		return nil, &remedy{excerpt(text) + " is not a number", "write digits, such as 10, -0.50 or 1e6"}
	}
	scale := len(fraction) - exponent
	if len(whole)+len(fraction)+max(-scale, 0) > mostDigits || scale > mostDigits {
		return nil, errDigits
	}
	d := &decimal{scale: max(scale, 0)}
	d.digits, _ = new(big.Int).SetString(whole+fraction+strings.Repeat("0", max(-scale, 0)), 10)
	if strings.HasPrefix(text, "-") {
		d.digits.Neg(d.digits)
	}
	return d, nil
}

func (d *decimal) String() string {
	text := d.digits.String()
	if d.scale == 0 {
		return text
	}
	text, negative := strings.CutPrefix(text, "-")
	if short := d.scale + 1 - len(text); short > 0 {
		text = strings.Repeat("0", short) + text
	}
	point := len(text) - d.scale
	text = text[:point] + "." + text[point:]
	if negative {
		text = "-" + text
	}
	return text
}

// number is d as expressions see numbers.
func (d *decimal) number() any { return parseNumber(d.String()) }

func (d *decimal) numberOr(err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return d.number(), nil
}

// bounded gives d unless it has too many digits.
func (d *decimal) bounded() (*decimal, error) {
	if d.scale > mostDigits || d.digits.BitLen() > mostDigits*10/3 { // a digit has 3.32 bits
		return nil, errDigits
	}
	return d, nil
}

// exactly makes the function of an operator.
func exactly(operator func(a, b *decimal) (*decimal, error)) func(c call) (any, error) {
	return func(c call) (any, error) {
		d, err := operator(argument[*decimal](c, 0), argument[*decimal](c, 1))
		return d.numberOr(err)
	}
}

func power10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// sameScale gives the digits of both at the larger of their scales.
func sameScale(a, b *decimal) (x, y *big.Int) {
	x, y = a.digits, b.digits
	if n := b.scale - a.scale; n > 0 {
		x = new(big.Int).Mul(x, power10(n))
	} else if n < 0 {
		y = new(big.Int).Mul(y, power10(-n))
	}
	return x, y
}

func (d *decimal) add(b *decimal) (*decimal, error) {
	x, y := sameScale(d, b)
	return (&decimal{new(big.Int).Add(x, y), max(d.scale, b.scale)}).bounded()
}

func (d *decimal) subtract(b *decimal) (*decimal, error) {
	x, y := sameScale(d, b)
	return (&decimal{new(big.Int).Sub(x, y), max(d.scale, b.scale)}).bounded()
}

func (d *decimal) multiply(b *decimal) (*decimal, error) {
	return (&decimal{new(big.Int).Mul(d.digits, b.digits), d.scale + b.scale}).bounded()
}

func (d *decimal) divide(b *decimal, scale int, mode rounding) (*decimal, error) {
	if b.digits.Sign() == 0 {
		return nil, errors.New("this divides by zero")
	}
	if scale < 0 || scale > mostDigits {
		return nil, fmt.Errorf("scale is %d; it is from 0 to %d", scale, mostDigits)
	}
	// d/10^s / (b/10^t) at 10^scale is d * 10^(t+scale) / (b * 10^s).
	x := new(big.Int).Mul(d.digits, power10(b.scale+scale))
	y := new(big.Int).Mul(b.digits, power10(d.scale))
	return (&decimal{mode.divide(x, y), scale}).bounded()
}

// round gives d with scale decimals; below zero, its last digits are 0.
func (d *decimal) round(scale int, mode rounding) (*decimal, error) {
	if scale < -mostDigits || scale > mostDigits {
		return nil, fmt.Errorf("scale is %d; it is from %d to %d", scale, -mostDigits, mostDigits)
	}
	if scale >= d.scale {
		return (&decimal{new(big.Int).Mul(d.digits, power10(scale-d.scale)), scale}).bounded()
	}
	out := mode.divide(d.digits, power10(d.scale-scale))
	if scale < 0 {
		out.Mul(out, power10(-scale))
	}
	return (&decimal{out, max(scale, 0)}).bounded()
}

// rounding tells whether a quotient whose rest is not zero goes up to the next
// number away from zero: half compares the rest with the half of the divisor.
type rounding func(negative, odd bool, half int) bool

var (
	halfUp     rounding = func(_, _ bool, half int) bool { return half >= 0 }
	roundFloor rounding = func(negative, _ bool, _ int) bool { return negative }

	roundingKind = oneOf("a way to round",
		word[rounding]{"half_up", halfUp},
		word[rounding]{"half_even", func(_, odd bool, half int) bool { return half > 0 || half == 0 && odd }},
		word[rounding]{"half_down", func(_, _ bool, half int) bool { return half > 0 }},
		word[rounding]{"up", func(bool, bool, int) bool { return true }},
		word[rounding]{"down", func(bool, bool, int) bool { return false }},
		word[rounding]{"ceiling", func(negative, _ bool, _ int) bool { return !negative }},
		word[rounding]{"floor", roundFloor},
	)
)

func (r rounding) divide(x, y *big.Int) *big.Int {
	q, rest := new(big.Int).QuoRem(x, y, new(big.Int))
	if rest.Sign() == 0 {
		return q
	}
	negative := (x.Sign() < 0) != (y.Sign() < 0)
	if half := new(big.Int).Lsh(rest, 1).CmpAbs(y); r(negative, q.Bit(0) == 1, half) {
		if negative {
			return q.Sub(q, big.NewInt(1))
		}
		return q.Add(q, big.NewInt(1))
	}
	return q
}
