package disklog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// The layout of a bbolt file, version 2, as far as it has to be known in order
// to tell whether the file is whole. bbolt has no checksum but in the two meta
// pages. Its own check trusts what a page says of itself: with flipped bits it
// asks for terabytes of memory, or ends the process from a goroutine.
//
// What is relied on beyond the format, because bbolt writes pages so: the
// elements of a page are followed by their keys and values, in order and without
// holes; and what is after them in an empty page is zero.
const (
	pageHeader   = 16
	metaSize     = 64
	elementSize  = 16
	bucketHeader = 16

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10

	bucketElement = 0x01

	noFreelist = 1<<64 - 1
)

// A pageFile is a bbolt file whose pages are being checked.
type pageFile struct {
	file     io.ReaderAt
	pageSize uint64
	end      uint64 // number of pages
	seen     []bool // pages that are accounted for
}

// checkPages reads all pages of a bbolt file that are in use, and returns an
// error, which wraps [ErrDamaged], unless each page of the file is used exactly
// once: as a node of the tree, where every key is where it is looked for, or in
// the list of free pages. A page that is in use and in that list would be
// written over later.
func checkPages(file io.ReaderAt, size int64) error {
	p := &pageFile{file: file}
	root, freelist, err := p.metas(size)
	if err != nil {
		return err
	}
	p.seen = make([]bool, p.end)
	p.seen[0], p.seen[1] = true, true
	if err := p.tree(root, nil, nil); err != nil {
		return err
	}
	if freelist == noFreelist {
		return nil // bbolt makes it from the tree
	}
	if err := p.free(freelist); err != nil {
		return err
	}
	for id, seen := range p.seen {
		if !seen {
			return damage("page %d is neither in use nor free", id)
		}
	}
	return nil
}

func damage(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}

// metas reads both meta pages and returns what the newer one says. With one of
// them unreadable, bbolt would go on with what was there one commit before.
func (p *pageFile) metas(size int64) (root, freelist uint64, err error) {
	var newest uint64
	for i := range uint64(2) {
		b := make([]byte, pageHeader+metaSize)
		if _, err := p.file.ReadAt(b, int64(i*p.pageSize)); err != nil {
			return 0, 0, damage("meta page %d: %w", i, err)
		}
		b = b[pageHeader:]
		sum := fnv.New64a()
		sum.Write(b[:metaSize-8])
		switch order := binary.NativeEndian; {
		case order.Uint32(b) != boltMagic, order.Uint32(b[4:]) != boltVersion:
			return 0, 0, damage("meta page %d is not one of version %d", i, boltVersion)
		case order.Uint64(b[metaSize-8:]) != sum.Sum64():
			return 0, 0, damage("the checksum of meta page %d is wrong", i)
		}
		if txid := binary.NativeEndian.Uint64(b[48:]); i == 0 || txid > newest {
			newest = txid
			root, freelist, p.end = binary.NativeEndian.Uint64(b[16:]), binary.NativeEndian.Uint64(b[32:]), binary.NativeEndian.Uint64(b[40:])
		}
		if p.pageSize = uint64(binary.NativeEndian.Uint32(b[8:])); p.pageSize < 512 {
			return 0, 0, damage("a page has %d bytes", p.pageSize)
		}
	}
	if pages := uint64(size) / p.pageSize; pages < p.end || p.end < 4 {
		return 0, 0, damage("the file has %d of %d pages", pages, p.end)
	}
	return root, freelist, nil
}

// page reads a page, with those that it overflows into, and accounts for them.
func (p *pageFile) page(id uint64) ([]byte, error) {
	if id >= p.end {
		return nil, damage("page %d is behind the end", id)
	}
	b := make([]byte, p.pageSize)
	if _, err := p.file.ReadAt(b, int64(id*p.pageSize)); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, err)
	}
	if own := binary.NativeEndian.Uint64(b); own != id {
		return nil, damage("page %d is marked as %d", id, own)
	}
	more := uint64(binary.NativeEndian.Uint32(b[12:]))
	if more >= p.end-id {
		return nil, damage("page %d is too large", id)
	}
	for i := range more + 1 {
		if p.seen[id+i] {
			return nil, damage("page %d is used twice", id+i)
		}
		p.seen[id+i] = true
	}
	if more > 0 {
		b = append(b, make([]byte, more*p.pageSize)...)
		if _, err := p.file.ReadAt(b[p.pageSize:], int64((id+1)*p.pageSize)); err != nil {
			return nil, fmt.Errorf("page %d: %w", id, err)
		}
	}
	return b, nil
}

// free accounts for the list of free pages, and those in it.
func (p *pageFile) free(id uint64) error {
	b, err := p.page(id)
	if err != nil {
		return err
	}
	if flags := binary.NativeEndian.Uint16(b[8:]); flags != freelistPage {
		return damage("page %d is not the list of free pages", id)
	}
	count, b := uint64(binary.NativeEndian.Uint16(b[10:])), b[pageHeader:]
	if count == 0xFFFF { // the number follows
		count, b = binary.NativeEndian.Uint64(b), b[8:]
	}
	if count > uint64(len(b)/8) {
		return damage("the list of free pages is cut off")
	}
	for i := range count {
		id := binary.NativeEndian.Uint64(b[8*i:])
		if id >= p.end || p.seen[id] {
			return damage("page %d is free, and is not", id)
		}
		p.seen[id] = true
	}
	return nil
}

// tree checks what is below a page. Its keys must begin with low and be below
// high; nil is no bound. (bbolt looks for a page among its siblings by its first
// key, when it has changed: where it is not found so, it is in the tree twice.)
func (p *pageFile) tree(id uint64, low, high []byte) error {
	b, err := p.page(id)
	if err != nil {
		return err
	}
	if err := p.node(b, low, high); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// node checks a page of a tree, or one that is the value of a bucket.
func (p *pageFile) node(b []byte, low, high []byte) error {
	elements, err := parse(b)
	if err != nil {
		return err
	}
	for i, e := range elements {
		below := high
		if i+1 < len(elements) {
			below = elements[i+1].key
		}
		if i == 0 && low != nil && !bytes.Equal(e.key, low) || below != nil && bytes.Compare(e.key, below) >= 0 {
			return damage("key %d is out of order", i)
		}
		if e.child != 0 {
			err = p.tree(e.child, e.key, below)
		} else {
			err = p.value(e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// An element is an entry of a page: a branch has children, a leaf has values.
type element struct {
	child      uint64
	flags      uint32
	key, value []byte
}

func parse(b []byte) ([]element, error) {
	flags, count := binary.NativeEndian.Uint16(b[8:]), int(binary.NativeEndian.Uint16(b[10:]))
	switch {
	case flags != branchPage && flags != leafPage:
		return nil, damage("it is of no known kind")
	case count == 0 && (flags == branchPage || len(bytes.TrimLeft(b[pageHeader:], "\x00")) > 0):
		return nil, damage("its elements are missing")
	case pageHeader+count*elementSize > len(b):
		return nil, damage("it is cut off")
	}
	elements := make([]element, count)
	at := uint64(pageHeader + count*elementSize) // where the next key should be
	for i := range elements {
		e := &elements[i]
		offset := pageHeader + i*elementSize
		head := b[offset:]
		position, keySize, valueSize := binary.NativeEndian.Uint32(head), binary.NativeEndian.Uint32(head[4:]), uint32(0)
		if flags == branchPage {
			if e.child = binary.NativeEndian.Uint64(head[8:]); e.child == 0 {
				return nil, damage("child %d is none", i)
			}
		} else {
			e.flags, position, keySize, valueSize = position, keySize, binary.NativeEndian.Uint32(head[8:]), binary.NativeEndian.Uint32(head[12:])
		}
		middle := at + uint64(keySize)
		end := middle + uint64(valueSize)
		if uint64(offset)+uint64(position) != at || end > uint64(len(b)) {
			return nil, damage("element %d is not where it should be", i)
		}
		e.key, e.value = b[at:middle:middle], b[middle:end:end]
		at = end
	}
	return elements, nil
}

// value checks what stands for a key in a leaf: a bucket has a tree of its own,
// or holds its only page.
func (p *pageFile) value(e element) error {
	switch {
	case e.flags == 0:
		return nil
	case e.flags != bucketElement || len(e.value) < bucketHeader:
		return damage("a bucket is none")
	}
	if root := binary.NativeEndian.Uint64(e.value); root != 0 {
		return p.tree(root, nil, nil)
	}
	if len(e.value) < bucketHeader+pageHeader {
		return damage("a bucket is cut off")
	}
	return p.node(e.value[bucketHeader:], nil, nil)
}
