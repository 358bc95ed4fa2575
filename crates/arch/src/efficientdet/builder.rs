//! The graph of an [`EfficientDet`]: backbone, pyramid, BiFPN cells, two heads.

use super::EfficientDet;
use super::bifpn::bifpn_rows;
use crate::builder::{Builder, Map};
use crate::graph::{Conv, Graph, NodeId, Op};

/// The first level of the pyramid: the backbone's map at 1/8 of the picture's sides.
pub(crate) const FIRST_LEVEL: usize = 3;

/// Everything between the picture and the two heads' maps.
pub(crate) fn build(detector: &EfficientDet) -> Graph {
    let mut b = DetectorBuilder { nodes: Builder::new(&detector.backbone), detector };
    let mut maps = b.pyramid();
    for cell in 0..detector.cells {
        maps = b.cell(cell, &maps);
    }
    let mut outputs = Vec::new();
    let mut endpoints = b.nodes.endpoints();
    for (level, x) in detector.levels().zip(maps) {
        let class = b.head("class", level, x.id, detector.classes);
        let boxes = b.head("box", level, x.id, 4);
        outputs.extend([class, boxes]);
        let named = [("", x.id), ("class.", class), ("box.", boxes)];
        endpoints.extend(named.map(|(head, id)| (format!("{head}p{level}"), id)));
    }
    Graph { nodes: b.nodes.nodes, outputs, endpoints }
}

struct DetectorBuilder<'a> {
    nodes: Builder,
    detector: &'a EfficientDet,
}

impl DetectorBuilder<'_> {
    /// The maps that the first cell reads: the backbone's at 1/8, 1/16 and 1/32, then each level pooled
    /// from the one before.
    fn pyramid(&mut self) -> Vec<Map> {
        self.nodes.trunk(&self.detector.backbone);
        let mut maps = self.nodes.ends[FIRST_LEVEL - 1..].to_vec();
        for level in self.detector.levels().skip(maps.len()) {
            let at = format!("resample.p{level}");
            let x = self.project(&at, maps[maps.len() - 1]);
            maps.push(Map { id: self.pool(&at, x.id), ..x });
        }
        maps
    }

    /// One BiFPN cell: a map for each level, from a map for each level.
    fn cell(&mut self, cell: usize, inputs: &[Map]) -> Vec<Map> {
        let mut maps = inputs.to_vec();
        let mut levels: Vec<usize> = (0..inputs.len()).collect();
        let mut outputs = inputs.to_vec();
        for (index, row) in bifpn_rows(inputs.len()).into_iter().enumerate() {
            let at = format!("bifpn.{cell}.{index}");
            let resampled: Vec<NodeId> = (row.inputs.iter().enumerate())
                .map(|(i, &from)| {
                    let at = format!("{at}.resample.{i}");
                    let x = self.project(&at, maps[from]).id;
                    match levels[from].cmp(&row.level) {
                        std::cmp::Ordering::Less => self.pool(&at, x),
                        std::cmp::Ordering::Equal => x,
                        std::cmp::Ordering::Greater => {
                            self.nodes.push(format!("{at}.up"), Op::Upsample, &[x, inputs[row.level].id])
                        }
                    }
                })
                .collect();
            let sum = Op::WeightedSum { inputs: resampled.len(), fusion: self.detector.fusion };
            let x = self.nodes.push(format!("{at}.combine"), sum, &resampled);
            let x = self.act(&at, x);
            let x = self.separable(&at, &at, x, self.detector.channels, self.detector.convention.spare_bias);
            let id = self.bn(&at, x);
            let fused = Map { id, channels: self.detector.channels };
            maps.push(fused);
            levels.push(row.level);
            outputs[row.level] = fused;
        }
        outputs
    }

    /// A head's map for one level. Its convolutions are those of every level, its normalisations are not.
    fn head(&mut self, head: &str, level: usize, mut x: NodeId, values: usize) -> NodeId {
        let spare_bias = self.detector.convention.spare_bias;
        for repeat in 0..self.detector.head_repeats {
            let at = format!("{head}.{repeat}.p{level}");
            x = self.separable(&at, &format!("{head}.{repeat}"), x, self.detector.channels, spare_bias);
            x = self.bn(&at, x);
            x = self.act(&at, x);
        }
        let outputs = values * self.detector.anchors.per_cell();
        self.separable(&format!("{head}.predict.p{level}"), &format!("{head}.predict"), x, outputs, true)
    }

    /// `{at}.conv`, `{at}.bn`: a 1×1 convolution, only where the channels are not the pyramid's.
    fn project(&mut self, at: &str, x: Map) -> Map {
        let channels = self.detector.channels;
        if x.channels == channels {
            return x;
        }
        let conv =
            Conv { inputs: x.channels, bias: self.detector.convention.spare_bias, ..self.point(channels) };
        let id = self.nodes.push(format!("{at}.conv"), Op::Conv(conv), &[x.id]);
        Map { id: self.bn(at, id), channels }
    }

    /// `{at}.pool`: half the height and width.
    fn pool(&mut self, at: &str, x: NodeId) -> NodeId {
        let padding = self.detector.convention.padding;
        let pool = Op::MaxPool { kernel: 3, stride: 2, padding, border: self.detector.convention.border };
        self.nodes.push(format!("{at}.pool"), pool, &[x])
    }

    /// `{at}.depthwise` (3×3, without a bias), `{at}.pointwise`, with the parameters of `{params}.…`.
    fn separable(&mut self, at: &str, params: &str, x: NodeId, outputs: usize, bias: bool) -> NodeId {
        let channels = self.detector.channels;
        let depthwise = Conv { kernel: 3, groups: channels, ..self.point(channels) };
        let x = self.shared(at, params, "depthwise", Op::Conv(depthwise), x);
        self.shared(at, params, "pointwise", Op::Conv(Conv { bias, ..self.point(outputs) }), x)
    }

    /// A node `{at}.{part}` with the parameters of `{params}.{part}`.
    fn shared(&mut self, at: &str, params: &str, part: &str, op: Op, x: NodeId) -> NodeId {
        let id = self.nodes.push(format!("{at}.{part}"), op, &[x]);
        self.nodes.nodes[id.0].params = format!("{params}.{part}");
        id
    }

    /// 1×1 from the pyramid's channels, without a bias.
    fn point(&self, outputs: usize) -> Conv {
        let padding = self.detector.convention.padding;
        let inputs = self.detector.channels;
        Conv { inputs, outputs, kernel: 1, stride: 1, groups: 1, padding, bias: false }
    }

    fn bn(&mut self, at: &str, x: NodeId) -> NodeId {
        let (epsilon, momentum) = (self.detector.convention.bn_epsilon, self.detector.convention.bn_momentum);
        let norm = Op::BatchNorm { channels: self.detector.channels, epsilon, momentum };
        self.nodes.push(format!("{at}.bn"), norm, &[x])
    }

    fn act(&mut self, at: &str, x: NodeId) -> NodeId {
        self.nodes.push(format!("{at}.act"), Op::Activation(self.detector.activation()), &[x])
    }
}
