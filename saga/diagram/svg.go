package diagram

import (
	"bytes"
	"fmt"

	"github.com/amends-dev/amends/contract"
	"github.com/amends-dev/amends/saga"
)

// Dimensions of the picture, in pixels.
const (
	boxWidth  = 220
	boxHeight = 62
	gapAcross = 28
	gapDown   = 30
	margin    = 24
	titleSize = 34
)

// area is a part of the picture with known dimensions.
type area struct {
	width, height int
	node          *saga.Node // a step, or nil for a group
	parallel      bool
	parts         []area
}

// SVG returns the definition as a picture: sequences from top to bottom, parallel branches side by
// side. The picture has its own light background and no external references.
func SVG(d *saga.Definition) []byte {
	spec := d.Spec()
	whole := measure(spec.Steps, false)
	p := picture{}
	width, height := whole.width+2*margin, whole.height+2*margin+titleSize
	p.add(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="definition %s" font-family="system-ui, sans-serif">`,
		width, height, width, height, d.Ref())
	p.add(`<rect width="%d" height="%d" fill="#ffffff"/>`, width, height)
	p.add(`<text x="%d" y="%d" font-size="16" font-weight="600" fill="#1a202c">%s</text>`, margin, margin+8, d.Ref())
	p.draw(&whole, margin, margin+titleSize)
	p.add(`</svg>`)
	return p.out.Bytes()
}

// measure computes the space that nodes need.
func measure(nodes []saga.Node, parallel bool) area {
	a := area{parallel: parallel}
	for i := range nodes {
		part := measureNode(&nodes[i])
		a.parts = append(a.parts, part)
		if parallel {
			a.width += part.width
			a.height = max(a.height, part.height)
		} else {
			a.width = max(a.width, part.width)
			a.height += part.height
		}
	}
	if gaps := len(nodes) - 1; parallel {
		a.width += gaps * gapAcross
	} else {
		a.height += gaps * gapDown
	}
	return a
}

func measureNode(n *saga.Node) area {
	switch {
	case n.Step != nil:
		return area{width: boxWidth, height: boxHeight, node: n}
	case n.Parallel != nil:
		a := measure(n.Parallel, true)
		a.height += 2 * gapDown // the lines that split and join
		return a
	}
	return measure(n.Sequence, false)
}

// picture builds an SVG.
type picture struct{ out bytes.Buffer }

func (p *picture) add(format string, args ...any) {
	fmt.Fprintf(&p.out, format, args...)
	p.out.WriteByte('\n')
}

// draw draws an area whose upper left corner is at x, y.
func (p *picture) draw(a *area, x, y int) {
	switch {
	case a.node != nil:
		p.box(a.node.Step, x, y)
	case a.parallel:
		p.branches(a, x, y)
	default:
		for i := range a.parts {
			part := &a.parts[i]
			p.draw(part, x+(a.width-part.width)/2, y)
			y += part.height
			if i < len(a.parts)-1 {
				p.line(x+a.width/2, y, x+a.width/2, y+gapDown)
				y += gapDown
			}
		}
	}
}

// branches draws the branches of a parallel between the line that splits and the line that joins.
func (p *picture) branches(a *area, x, y int) {
	first, last := x+a.parts[0].width/2, x+a.width-a.parts[len(a.parts)-1].width/2
	top, bottom := y+gapDown/2, y+a.height-gapDown/2
	p.line(x+a.width/2, y, x+a.width/2, top)
	p.line(x+a.width/2, bottom, x+a.width/2, y+a.height)
	p.line(min(first, x+a.width/2), top, max(last, x+a.width/2), top)
	p.line(min(first, x+a.width/2), bottom, max(last, x+a.width/2), bottom)
	for i := range a.parts {
		part := &a.parts[i]
		middle := x + part.width/2
		p.line(middle, top, middle, y+gapDown)
		p.draw(part, x, y+gapDown)
		p.line(middle, y+gapDown+part.height, middle, bottom)
		x += part.width + gapAcross
	}
}

func (p *picture) line(x1, y1, x2, y2 int) {
	p.add(`<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#94a3b8" stroke-width="1.5"/>`, x1, y1, x2, y2)
}

// colours holds the fill and border colours of each kind.
var colours = map[contract.Kind][2]string{
	contract.KindCompensable: {"#e8f0fe", "#3b6fb6"},
	contract.KindPivot:       {"#fff3d6", "#b7791f"},
	contract.KindRetriable:   {"#e6f6ec", "#2f855a"},
}

func (p *picture) box(s *saga.Step, x, y int) {
	colour, stroke := colours[s.Kind], 1.5
	if s.Kind == contract.KindPivot {
		stroke = 3
	}
	p.add(`<rect x="%d" y="%d" width="%d" height="%d" rx="8" fill="%s" stroke="%s" stroke-width="%g"/>`,
		x, y, boxWidth, boxHeight, colour[0], colour[1], stroke)
	p.text(x+12, y+20, 13, "600", "#1a202c", string(s.Name), boxWidth-90)
	p.add(`<text x="%d" y="%d" font-size="10" text-anchor="end" fill="%s">%s</text>`, x+boxWidth-12, y+20, colour[1], s.Kind)
	p.text(x+12, y+37, 11, "400", "#4a5568", s.Do.Participant+": "+s.Do.Action, boxWidth-24)
	if s.Undo != nil {
		p.text(x+12, y+53, 11, "400", "#718096", "undo: "+s.Undo.Action, boxWidth-24)
	}
}

// text writes a line that fits into width pixels. Longer text is truncated and shown in full as a
// tooltip.
func (p *picture) text(x, y, size int, weight, fill, s string, width int) {
	shown := s
	if limit := width * 10 / (size * 6); len(shown) > limit {
		shown = shown[:limit-1] + "…"
	}
	p.add(`<text x="%d" y="%d" font-size="%d" font-weight="%s" fill="%s">%s<title>%s</title></text>`, x, y, size, weight, fill, shown, s)
}
