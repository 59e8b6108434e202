//! Where the boxes and edges of a picture go, in columns from left to right. Pure, and the same for the same graph.
//!
//! The usual way (Sugiyama, Tagawa and Toda, 1981): edges that would close a circle are turned round, the column of a
//! box is its longest path from the left, each column is ordered to have few crossings. Between two columns of boxes
//! lies one of labels: an edge has a place of its own in every column that it passes, so nothing lies upon another.

/// Width and height, in pixels.
pub type Size = (i32, i32);

/// A rectangle, in pixels from the upper left corner of the picture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Area {
    pub x: i32,
    pub y: i32,
    pub width: i32,
    pub height: i32,
}

/// An edge that is wanted: from which box, to which other one, with how large a label.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    pub from: usize,
    pub to: usize,
    pub label: Size,
}

/// An edge in its place.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// Where its label is.
    pub label: Area,
    /// Where it turns, from its beginning to its end; between two of them it runs level, or swings.
    pub points: Vec<(i32, i32)>,
}

/// A picture.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The boxes, in the order in which they were given.
    pub boxes: Vec<Area>,
    /// The edges, likewise.
    pub ways: Vec<Way>,
    /// Size of all of it.
    pub size: Size,
}

/// Between two things of a column.
const GAP: i32 = 14;
/// Between two columns, where edges swing.
const SWING: i32 = 34;
/// Between two edges at one side of a box.
const PORT: i32 = 12;
/// Height of an edge that passes a column.
const PASS: i32 = 8;
/// Passes over all columns, for their order and for their heights. More change nothing in graphs of this size.
const PASSES: usize = 24;

/// Something that has a place in a column.
struct Item {
    size: Size,
    layer: usize,
    /// Items of the columns beside it: left, right.
    beside: [Vec<usize>; 2],
    top: i32,
}

impl Item {
    fn middle(&self) -> i32 {
        self.top + self.size.1 / 2
    }
}

/// The places of `boxes` and `edges`. Edges between two different boxes only.
pub fn layout(boxes: &[Size], edges: &[Wanted]) -> Layout {
    let turned = turned(boxes.len(), edges);
    let directed: Vec<(usize, usize)> = (edges.iter().zip(&turned))
        .map(|(edge, turned)| if *turned { (edge.to, edge.from) } else { (edge.from, edge.to) })
        .collect();
    let columns = columns(boxes.len(), &directed);
    let mut items: Vec<Item> = (boxes.iter().zip(&columns))
        .map(|(size, column)| Item { size: *size, layer: 2 * column, beside: Default::default(), top: 0 })
        .collect();
    // The items of each edge, from left to right; its label is the last one.
    let mut chains: Vec<Vec<usize>> = Vec::new();
    for (edge, (left, right)) in edges.iter().zip(&directed) {
        let (first, last) = (2 * columns[*left] + 1, 2 * columns[*right] - 1);
        let mut before = *left;
        let mut chain = Vec::new();
        for layer in first..=last {
            let size = if layer == last { edge.label } else { (0, PASS) };
            let new = items.len();
            items.push(Item { size, layer, beside: [vec![before], Vec::new()], top: 0 });
            items[before].beside[1].push(new);
            chain.push(new);
            before = new;
        }
        items[before].beside[1].push(*right);
        items[*right].beside[0].push(before);
        chains.push(chain);
    }
    for item in &mut items[..boxes.len()] {
        let most = item.beside.iter().map(Vec::len).max().unwrap_or(0);
        item.size.1 = item.size.1.max(PORT * i32::try_from(most + 1).unwrap_or(1));
    }
    let layers = ordered(&items);
    set_heights(&mut items, &layers);
    let lefts = lefts(&items, &layers);
    drawn(boxes.len(), &items, &lefts, &chains, &directed, &turned)
}

/// The edges that lead back to where a walk along the others has come from.
fn turned(boxes: usize, edges: &[Wanted]) -> Vec<bool> {
    fn walk(at: usize, edges: &[Wanted], state: &mut [u8], turned: &mut [bool]) {
        state[at] = 1;
        for (number, edge) in edges.iter().enumerate().filter(|(_, edge)| edge.from == at) {
            match state[edge.to] {
                0 => walk(edge.to, edges, state, turned),
                1 => turned[number] = true,
                _ => {}
            }
        }
        state[at] = 2;
    }
    let (mut state, mut turned) = (vec![0; boxes], vec![false; edges.len()]);
    for start in 0..boxes {
        if state[start] == 0 {
            walk(start, edges, &mut state, &mut turned);
        }
    }
    turned
}

/// The column of each box: its longest path. What nothing leads to stands just before what it leads to.
fn columns(boxes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut columns = vec![0; boxes];
    for _ in 0..boxes {
        for (left, right) in edges {
            columns[*right] = columns[*right].max(columns[*left] + 1);
        }
    }
    for at in 0..boxes {
        let next = edges.iter().filter(|(left, _)| *left == at).map(|(_, right)| columns[*right]).min();
        if let Some(next) = next.filter(|_| edges.iter().all(|(_, right)| *right != at)) {
            columns[at] = next - 1;
        }
    }
    columns
}

/// The items of each layer from top to bottom, with as few crossings as were found.
fn ordered(items: &[Item]) -> Vec<Vec<usize>> {
    let count = items.iter().map(|item| item.layer + 1).max().unwrap_or(0);
    let mut layers: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (number, item) in items.iter().enumerate() {
        layers[item.layer].push(number);
    }
    let mut best = (crossings(items, &layers), layers.clone());
    for pass in 0..PASSES {
        let side = pass % 2;
        let walk: Vec<usize> = if side == 0 { (0..count).collect() } else { (0..count).rev().collect() };
        for layer in walk {
            let ranks = ranks(items, &layers);
            let mean = |item: usize| match &items[item].beside[side] {
                beside if beside.is_empty() => ranks[item] * 1000,
                beside => beside.iter().map(|other| ranks[*other] * 1000).sum::<usize>() / beside.len(),
            };
            layers[layer].sort_by_key(|item| mean(*item));
        }
        let crossings = crossings(items, &layers);
        if crossings < best.0 {
            best = (crossings, layers.clone());
        }
    }
    best.1
}

fn ranks(items: &[Item], layers: &[Vec<usize>]) -> Vec<usize> {
    let mut ranks = vec![0; items.len()];
    for layer in layers {
        for (rank, item) in layer.iter().enumerate() {
            ranks[*item] = rank;
        }
    }
    ranks
}

fn crossings(items: &[Item], layers: &[Vec<usize>]) -> usize {
    let ranks = ranks(items, layers);
    let mut count = 0;
    for layer in layers {
        let ends = layer.iter().flat_map(|item| items[*item].beside[1].iter().map(|next| (*item, *next)));
        let ends: Vec<(usize, usize)> = ends.map(|(item, next)| (ranks[item], ranks[next])).collect();
        for (number, one) in ends.iter().enumerate() {
            let crosses = |other: &&(usize, usize)| {
                (one.0 < other.0 && one.1 > other.1) || (one.0 > other.0 && one.1 < other.1)
            };
            count += ends[number + 1..].iter().filter(crosses).count();
        }
    }
    count
}

/// Draws each item towards the middle of what is beside it, as far as its column has room.
fn set_heights(items: &mut [Item], layers: &[Vec<usize>]) {
    for layer in layers {
        let mut top = 0;
        for item in layer {
            items[*item].top = top;
            top += items[*item].size.1 + GAP;
        }
    }
    for pass in 0..PASSES {
        let walk: Vec<usize> =
            if pass % 2 == 0 { (0..layers.len()).collect() } else { (0..layers.len()).rev().collect() };
        for layer in walk {
            let wish = |item: &usize| {
                let item = &items[*item];
                let beside: Vec<i32> =
                    item.beside.iter().flatten().map(|other| items[*other].middle()).collect();
                let count = i32::try_from(beside.len()).unwrap_or(1);
                if count == 0 { item.top } else { beside.iter().sum::<i32>() / count - item.size.1 / 2 }
            };
            let wishes: Vec<i32> = layers[layer].iter().map(wish).collect();
            let heights: Vec<i32> = layers[layer].iter().map(|item| items[*item].size.1).collect();
            // Pushed down by those above, and up by those below: both keep the distances, and so does their middle.
            let mut down = wishes.clone();
            for at in 1..down.len() {
                down[at] = down[at].max(down[at - 1] + heights[at - 1] + GAP);
            }
            let mut up = wishes;
            for at in (1..up.len()).rev() {
                up[at - 1] = up[at - 1].min(up[at] - heights[at - 1] - GAP);
            }
            for (at, item) in layers[layer].iter().enumerate() {
                items[*item].top = (down[at] + up[at]).div_euclid(2);
            }
        }
    }
    // Halves that were rounded off may have taken a pixel of a distance.
    for layer in layers {
        for pair in layer.windows(2) {
            let end = items[pair[0]].top + items[pair[0]].size.1 + GAP;
            items[pair[1]].top = items[pair[1]].top.max(end);
        }
    }
    let highest = items.iter().map(|item| item.top).min().unwrap_or(0);
    for item in items {
        item.top -= highest;
    }
}

/// Where each layer begins, and where the last one ends.
fn lefts(items: &[Item], layers: &[Vec<usize>]) -> Vec<i32> {
    let mut lefts = vec![0];
    for layer in layers {
        let width = layer.iter().map(|item| items[*item].size.0).max().unwrap_or(0);
        lefts.push(lefts.last().copied().unwrap_or(0) + width + SWING);
    }
    lefts
}

fn drawn(
    boxes: usize,
    items: &[Item],
    lefts: &[i32],
    chains: &[Vec<usize>],
    directed: &[(usize, usize)],
    turned: &[bool],
) -> Layout {
    let widest = |layer: usize| lefts[layer + 1] - SWING - lefts[layer];
    let area = |number: usize| {
        let item = &items[number];
        let x = lefts[item.layer] + (widest(item.layer) - item.size.0) / 2;
        Area { x, y: item.top, width: item.size.0, height: item.size.1 }
    };
    // Where an edge leaves or enters a box: each has its own place on that side, in the order of their other ends.
    let port = |number: usize, side: usize, towards: usize| {
        let mut beside = items[number].beside[side].clone();
        beside.sort_by_key(|other| (items[*other].middle(), *other));
        let rank = beside.iter().position(|other| *other == towards).unwrap_or(0);
        let part = |count: usize| i32::try_from(count + 1).unwrap_or(1);
        items[number].top + items[number].size.1 * part(rank) / part(beside.len())
    };
    let way = |((chain, (left, right)), turned): ((&Vec<usize>, &(usize, usize)), &bool)| {
        let (from, to) = (area(*left), area(*right));
        let mut points = Vec::new();
        if let (Some(first), Some(last)) = (chain.first(), chain.last()) {
            // Level to the end of its column, then on.
            let y = port(*left, 1, *first);
            let column = items[*left].layer;
            points.extend([(from.x + from.width, y), (lefts[column] + widest(column), y)]);
            for item in chain {
                let (layer, y) = (items[*item].layer, items[*item].middle());
                points.extend([(lefts[layer], y), (lefts[layer] + widest(layer), y)]);
            }
            let y = port(*right, 0, *last);
            points.extend([(lefts[items[*right].layer], y), (to.x, y)]);
        }
        if *turned {
            points.reverse();
        }
        Way { label: chain.last().map(|label| area(*label)).unwrap_or_default(), points }
    };
    let bottom = items.iter().map(|item| item.top + item.size.1).max().unwrap_or(0);
    Layout {
        boxes: (0..boxes).map(area).collect(),
        ways: chains.iter().zip(directed).zip(turned).map(way).collect(),
        size: (lefts.last().map_or(0, |end| (end - SWING).max(0)), bottom),
    }
}
