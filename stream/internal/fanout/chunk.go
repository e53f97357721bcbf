package fanout

import "strconv"

// A chunk of the chunked transfer coding (RFC 9112, section 7.1) is its length in
// hexadecimal and a line's end, the data, and another line's end.
const (
	chunkEnd = "\r\n"
	// maxChunkFrame is the most bytes that a chunk has beside its data.
	maxChunkFrame = 16 + len("\r\n") + len(chunkEnd)
)

// AppendChunk appends p as one chunk.
func AppendChunk(dst, p []byte) []byte {
	if len(p) == 0 {
		return dst // an empty chunk would end the body
	}
	return append(append(appendChunkHead(dst, len(p)), p...), chunkEnd...)
}

func appendChunkHead(dst []byte, size int) []byte {
	return append(strconv.AppendUint(dst, uint64(size), 16), "\r\n"...)
}

// LastChunk ends a body.
const LastChunk = "0\r\n\r\n"
