package fanout

import "strconv"

// AppendChunk appends p as one chunk of the chunked transfer coding (RFC 9112,
// section 7.1).
func AppendChunk(dst, p []byte) []byte {
	if len(p) == 0 {
		return dst // an empty chunk would end the body
	}
	if dst == nil {
		dst = make([]byte, 0, len(p)+12)
	}
	dst = strconv.AppendUint(dst, uint64(len(p)), 16)
	dst = append(dst, "\r\n"...)
	dst = append(dst, p...)
	return append(dst, "\r\n"...)
}

// LastChunk ends a body.
const LastChunk = "0\r\n\r\n"
