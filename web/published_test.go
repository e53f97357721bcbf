package web_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"weir/stream"
	"weir/web"
)

// What is put together by hand is the JSON that it should be, in every form.
func TestAppendPublished(t *testing.T) {
	type answer struct {
		IDs        []string `json:"ids"`
		Duplicate  bool     `json:"duplicate"`
		Duplicates []int    `json:"duplicates"`
		Closed     bool     `json:"closed"`
	}
	first, second, third := &stream.Event{ID: stream.ID{Milli: 1, Seq: 2}}, &stream.Event{ID: stream.ID{Milli: 18446744073709551615}}, &stream.Event{}
	for name, test := range map[string]struct {
		p    stream.Publication
		want answer
	}{
		"nothing":                 {stream.Publication{}, answer{IDs: []string{}}},
		"one":                     {stream.Publication{Events: []*stream.Event{first}}, answer{IDs: []string{"1-2"}}},
		"one that was there":      {stream.Publication{Events: []*stream.Event{first}, Duplicate: []bool{true}}, answer{IDs: []string{"1-2"}, Duplicate: true}},
		"three, the last":         {stream.Publication{Events: []*stream.Event{first, second, third}, End: "closed"}, answer{IDs: []string{"1-2", "18446744073709551615-0", "0-0"}, Closed: true}},
		"two of three were there": {stream.Publication{Events: []*stream.Event{first, second, third}, Duplicate: []bool{true, false, true}}, answer{IDs: []string{"1-2", "18446744073709551615-0", "0-0"}, Duplicates: []int{0, 2}}},
		"all were there":          {stream.Publication{Events: []*stream.Event{first, second}, Duplicate: []bool{true, true}, End: "closed"}, answer{IDs: []string{"1-2", "18446744073709551615-0"}, Duplicate: true, Closed: true}},
		"the end alone":           {stream.Publication{End: "closed"}, answer{IDs: []string{}, Closed: true}},
	} {
		t.Run(name, func(t *testing.T) {
			text := web.AppendPublished(nil, &test.p)
			var got answer
			if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("%s is %+v, %v, want %+v", text, got, err, test.want)
			}
		})
	}
}
