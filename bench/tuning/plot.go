package main

import (
	"encoding/json"
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// publish writes the numbers of a sweep and its picture into a folder, or, without one, the numbers to stdout.
func publish(m measured, folder string) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if folder == "" {
		_, err = os.Stdout.Write(text)
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, m.Name+".json"), text, 0o644); err != nil {
		return err
	}
	return picture(m, filepath.Join(folder, m.Name+".svg"))
}

// panel is one of the three charts of a picture.
type panel struct {
	label string
	value func(measure) float64
	color color.Color
}

var panels = []panel{
	{"records / s", func(m measure) float64 { return m.Throughput }, color.RGBA{0x1f, 0x77, 0xb4, 0xff}},
	{"p99, ms", func(m measure) float64 { return m.P99 }, color.RGBA{0xd6, 0x27, 0x28, 0xff}},
	{"requests / s", func(m measure) float64 { return m.Requests }, color.RGBA{0x2c, 0xa0, 0x2c, 0xff}},
}

// picture draws the panels below each other, each with its own scale from 0 and its values written beside the points.
func picture(m measured, file string) error {
	plots := make([][]*plot.Plot, len(panels))
	for i, pn := range panels {
		p := plot.New()
		p.BackgroundColor = color.White
		if i == 0 {
			p.Title.Text = m.Title
			p.Title.Padding = vg.Points(6)
		}
		if i == len(panels)-1 {
			p.X.Label.Text = m.Axis
		}
		p.Y.Label.Text = pn.label
		p.Y.Min = 0
		p.Y.Tick.Marker = ticks{}
		values := make(plotter.Values, len(m.Points))
		xys := make(plotter.XYs, len(m.Points))
		labels := make([]string, len(m.Points))
		names := make([]string, len(m.Points))
		for j, pt := range m.Points {
			v := pn.value(pt.measure)
			values[j], xys[j] = v, plotter.XY{X: float64(j), Y: v}
			labels[j], names[j] = short(v), pt.Value
			p.Y.Max = max(p.Y.Max, v*1.2)
		}
		p.NominalX(names...)
		p.X.Tick.Label.Font.Size = vg.Points(9)
		p.X.Min, p.X.Max = -0.6, float64(len(names))-0.4
		bars, err := plotter.NewBarChart(values, vg.Points(30))
		if err != nil {
			return err
		}
		bars.Color, bars.LineStyle.Width = pn.color, 0
		text, err := plotter.NewLabels(plotter.XYLabels{XYs: xys, Labels: labels})
		if err != nil {
			return err
		}
		for j := range text.TextStyle {
			text.TextStyle[j].XAlign, text.TextStyle[j].Font.Size = draw.XCenter, vg.Points(9)
		}
		text.Offset = vg.Point{Y: vg.Points(3)}
		p.Add(plotter.NewGrid(), bars, text)
		plots[i] = []*plot.Plot{p}
	}
	const width, height = 8 * vg.Inch, 7 * vg.Inch
	svg := vgsvg.New(width, height)
	tiles := draw.Tiles{
		Rows: len(panels), Cols: 1, PadY: vg.Points(8),
		PadTop: vg.Points(6), PadBottom: vg.Points(6), PadRight: vg.Points(12),
	}
	canvases := plot.Align(plots, tiles, draw.New(svg))
	for i := range plots {
		plots[i][0].Draw(canvases[i][0])
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	if _, err := svg.WriteTo(out); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

// ticks are gonum's, with numbers as people write them.
type ticks struct{}

// Ticks implements plot.Ticker.
func (ticks) Ticks(low, high float64) []plot.Tick {
	all := plot.DefaultTicks{}.Ticks(low, high)
	for i := range all {
		if all[i].Label != "" {
			all[i].Label = short(all[i].Value)
		}
	}
	return all
}

// short is a number as people write it.
func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.2f M", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.0f k", v/1e3)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v == 0:
		return "0"
	case v >= 1:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
