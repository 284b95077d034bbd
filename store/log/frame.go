package log

import (
	"encoding/binary"
	"hash/crc32"
)

// A segment consists of a header and frames. A frame holds a record, or a part of a record that is too
// large for one segment. Frames begin at multiples of 8 bytes; the rest of a segment holds zeros, or
// remains of its previous use. Integers are little-endian. A frame:
//
//	CRC32C of the head (4) · CRC32C of the part (4) · length of the part (4)
//	number of the part, from 1 (4) · number of parts (4) · zero (4)
//	epoch (8) · record number (8) · hash of the previous record (32) · the part
//
// The CRC of the head is computed over the log's id, the segment's number, the frame's offset, and the
// rest of the head. So a frame is valid only where it was written, and no frame that remains from a
// segment's previous use is valid.
const (
	frameSize = 72
	alignment = 8
)

// A segment's header:
//
//	magic (8) · log id (16) · segment (8) · CRC32C (4) · part (4) · epoch (8) · number (8) · hash (32) · size (8)
//
// Epoch, number and hash are those of the last record before the segment's first frame; part is the
// number of the part in that frame, 1 for the beginning of a record; size is that of the file, which
// never changes: a shorter file has lost records. The CRC covers the rest of the header.
const headerSize = 96

// The last byte of magic is the version of the log's format.
const (
	magic  = "AMENDSL\x01"
	format = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frame is the decoded head of a frame.
type frame struct {
	length      int
	part, parts uint32
	epoch       uint64
	number      uint64
	before      Hash
	sum         uint32 // CRC32C of the part
}

// size returns how many bytes of a segment the frame takes, including padding.
func (f *frame) size() int64 { return aligned(frameSize + int64(f.length)) }

func aligned(n int64) int64 { return (n + alignment - 1) &^ (alignment - 1) }

// sumAt returns the CRC32C of a frame's position, followed by its head without the CRC field.
func sumAt(log ID, segment uint64, offset int64, head []byte) uint32 {
	var place [32]byte
	copy(place[:16], log[:])
	binary.LittleEndian.PutUint64(place[16:], segment)
	binary.LittleEndian.PutUint64(place[24:], uint64(offset))
	return crc32.Update(crc32.Checksum(place[:], castagnoli), castagnoli, head)
}

// appendFrame encodes a frame for a position in a segment and appends it to b.
func appendFrame(b []byte, log ID, segment uint64, offset int64, f *frame, part []byte) []byte {
	begin := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(part, castagnoli))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(part)))
	b = binary.LittleEndian.AppendUint32(b, f.part)
	b = binary.LittleEndian.AppendUint32(b, f.parts)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, f.epoch)
	b = binary.LittleEndian.AppendUint64(b, f.number)
	b = append(b, f.before[:]...)
	binary.LittleEndian.PutUint32(b[begin:], sumAt(log, segment, offset, b[begin+4:]))
	b = append(b, part...)
	for len(b)%alignment != begin%alignment {
		b = append(b, 0)
	}
	return b
}

// parseHead decodes the head of the frame at an offset of a segment. ok reports whether the head is
// valid.
func parseHead(b []byte, log ID, segment uint64, offset int64) (f frame, ok bool) {
	if len(b) < frameSize || binary.LittleEndian.Uint32(b) != sumAt(log, segment, offset, b[4:frameSize]) {
		return frame{}, false
	}
	return frame{
		sum: binary.LittleEndian.Uint32(b[4:]), length: int(binary.LittleEndian.Uint32(b[8:])),
		part: binary.LittleEndian.Uint32(b[12:]), parts: binary.LittleEndian.Uint32(b[16:]),
		epoch: binary.LittleEndian.Uint64(b[24:]), number: binary.LittleEndian.Uint64(b[32:]), before: Hash(b[40:frameSize]),
	}, true
}

// parseFrame decodes the frame at an offset of a segment. ok reports whether the frame is complete and
// valid.
func parseFrame(b []byte, log ID, segment uint64, offset int64) (f frame, part []byte, ok bool) {
	f, ok = parseHead(b, log, segment, offset)
	if !ok || f.length > len(b)-frameSize {
		return f, nil, false
	}
	part = b[frameSize : frameSize+f.length]
	return f, part, crc32.Checksum(part, castagnoli) == f.sum
}

// header is the decoded header of a segment.
type header struct {
	format byte
	log    ID
	number uint64 // of the segment
	part   uint32 // number of the part that the segment begins with
	before Mark   // of the last record in earlier segments; its Log is not stored twice
	size   int64  // of the segment
}

func (h *header) append(b []byte) []byte {
	begin := len(b)
	b = append(b, magic...)
	b = append(b, h.log[:]...)
	b = binary.LittleEndian.AppendUint64(b, h.number)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, h.part)
	b = binary.LittleEndian.AppendUint64(b, h.before.Epoch)
	b = binary.LittleEndian.AppendUint64(b, h.before.Number)
	b = append(b, h.before.Hash[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.size))
	binary.LittleEndian.PutUint32(b[begin+32:], headerSum(b[begin:]))
	return b
}

func headerSum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:32], castagnoli), castagnoli, b[36:headerSize])
}

// parseHeader decodes the header of a segment. ok is false if the header is invalid, or is that of
// another segment, from a previous use: then the segment is a spare.
func parseHeader(b []byte, segment uint64) (h header, ok bool) {
	if len(b) < headerSize || string(b[:7]) != magic[:7] || binary.LittleEndian.Uint32(b[32:]) != headerSum(b) {
		return header{}, false
	}
	h = header{
		format: b[7], log: ID(b[8:24]), number: binary.LittleEndian.Uint64(b[24:]), part: binary.LittleEndian.Uint32(b[36:]),
	}
	h.before = Mark{
		Log: h.log, Epoch: binary.LittleEndian.Uint64(b[40:]), Number: binary.LittleEndian.Uint64(b[48:]), Hash: Hash(b[56:88]),
	}
	h.size = int64(binary.LittleEndian.Uint64(b[88:headerSize]))
	return h, h.number == segment
}
