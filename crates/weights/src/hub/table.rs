//! The published checkpoints: where each lies and which network it is.
//!
//! Taken from `efficientnet_pytorch.utils` 0.7.1, timm 1.0.31 (`default_cfgs`), torchvision 0.29
//! (`IMAGENET1K_V1`), zylo117's README and effdet 0.4.1 (`model_config.py`, without the detectors on other
//! backbones or of other topologies). The eight hexadecimal digits in a file's name are the start of its SHA-256, as
//! `torch.hub` has it.

use effigy_arch::{Network, Normalisation};

use Host::{Effdet, HuggingFace, Lukemelas, Pytorch, Timm, TimmV2, Zylo117};

/// Where a checkpoint lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// Releases of lukemelas/EfficientNet-PyTorch.
    Lukemelas,
    /// timm's releases.
    Timm,
    /// timm's releases of EfficientNetV2.
    TimmV2,
    /// timm's repositories on Hugging Face.
    HuggingFace,
    /// torchvision's server.
    Pytorch,
    /// Releases of zylo117/Yet-Another-EfficientDet-Pytorch.
    Zylo117,
    /// effdet's releases.
    Effdet,
}

/// A published checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// What to ask for: `efficientnet-b0`, `efficientnet-b0.advprop`, `tf_efficientnet_b0.ns_jft_in1k`.
    pub name: &'static str,
    /// The network, as [`Network::from_name`] knows it.
    pub model: &'static str,
    /// Where it lies.
    pub host: Host,
    /// Its path there.
    pub path: &'static str,
}

/// Every checkpoint that can be fetched.
#[must_use]
pub fn checkpoints() -> &'static [Checkpoint] {
    CHECKPOINTS
}

impl Host {
    /// What the addresses start with.
    #[must_use]
    pub fn base(self) -> &'static str {
        match self {
            Lukemelas => "https://github.com/lukemelas/EfficientNet-PyTorch/releases/download/1.0/",
            Timm => "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-weights/",
            TimmV2 => {
                "https://github.com/huggingface/pytorch-image-models/releases/download/v0.1-effv2-weights/"
            }
            HuggingFace => "https://huggingface.co/timm/",
            Pytorch => "https://download.pytorch.org/models/",
            Zylo117 => "https://github.com/zylo117/Yet-Another-EfficientDet-Pytorch/releases/download/",
            Effdet => "https://github.com/rwightman/efficientdet-pytorch/releases/download/v0.1/",
        }
    }
}

impl Checkpoint {
    /// The file's name in the cache.
    #[must_use]
    pub fn file(&self) -> String {
        match self.host {
            HuggingFace => format!("{}.safetensors", self.name),
            _ => self.path.rsplit('/').next().unwrap_or(self.path).to_owned(),
        }
    }

    /// The start of the file's SHA-256 in hexadecimal, where its name says so.
    #[must_use]
    pub fn sha256_prefix(&self) -> Option<&'static str> {
        let stem = self.path.rsplit_once('.')?.0;
        let digits = stem.rsplit_once('-')?.1;
        (digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit())).then_some(digits)
    }

    /// The network, with the preprocessing that the checkpoint wants.
    ///
    /// # Panics
    /// Never: a test asks every row for its network.
    #[must_use]
    pub fn network(&self) -> Network {
        match Network::from_name(self.model).expect("the table names networks that exist") {
            Network::EfficientNet(network) if self.is_advprop() => {
                let preprocessing = network.preprocessing.clone().with_normalisation(Normalisation::HALF);
                network.with_preprocessing(preprocessing).into()
            }
            network => network,
        }
    }

    fn is_advprop(&self) -> bool {
        self.name.ends_with(ADVPROP)
    }
}

/// lukemelas' AdvProp checkpoints end in this.
pub(crate) const ADVPROP: &str = ".advprop";

const fn row(name: &'static str, model: &'static str, host: Host, path: &'static str) -> Checkpoint {
    Checkpoint { name, model, host, path }
}

// One line a row, so that columns can be compared.
#[rustfmt::skip]
static CHECKPOINTS: &[Checkpoint] = &[
    row("efficientnet-b0", "efficientnet-b0", Lukemelas, "efficientnet-b0-355c32eb.pth"),
    row("efficientnet-b1", "efficientnet-b1", Lukemelas, "efficientnet-b1-f1951068.pth"),
    row("efficientnet-b2", "efficientnet-b2", Lukemelas, "efficientnet-b2-8bb594d6.pth"),
    row("efficientnet-b3", "efficientnet-b3", Lukemelas, "efficientnet-b3-5fb5a3c3.pth"),
    row("efficientnet-b4", "efficientnet-b4", Lukemelas, "efficientnet-b4-6ed6700e.pth"),
    row("efficientnet-b5", "efficientnet-b5", Lukemelas, "efficientnet-b5-b6417697.pth"),
    row("efficientnet-b6", "efficientnet-b6", Lukemelas, "efficientnet-b6-c76e70fd.pth"),
    row("efficientnet-b7", "efficientnet-b7", Lukemelas, "efficientnet-b7-dcc49843.pth"),
    row("efficientnet-b0.advprop", "efficientnet-b0", Lukemelas, "adv-efficientnet-b0-b64d5a18.pth"),
    row("efficientnet-b1.advprop", "efficientnet-b1", Lukemelas, "adv-efficientnet-b1-0f3ce85a.pth"),
    row("efficientnet-b2.advprop", "efficientnet-b2", Lukemelas, "adv-efficientnet-b2-6e9d97e5.pth"),
    row("efficientnet-b3.advprop", "efficientnet-b3", Lukemelas, "adv-efficientnet-b3-cdd7c0f4.pth"),
    row("efficientnet-b4.advprop", "efficientnet-b4", Lukemelas, "adv-efficientnet-b4-44fb3a87.pth"),
    row("efficientnet-b5.advprop", "efficientnet-b5", Lukemelas, "adv-efficientnet-b5-86493f6b.pth"),
    row("efficientnet-b6.advprop", "efficientnet-b6", Lukemelas, "adv-efficientnet-b6-ac80338e.pth"),
    row("efficientnet-b7.advprop", "efficientnet-b7", Lukemelas, "adv-efficientnet-b7-4652b6dd.pth"),
    row("efficientnet-b8.advprop", "efficientnet-b8", Lukemelas, "adv-efficientnet-b8-22a8fe65.pth"),
    row("efficientnet_b0.ra_in1k", "efficientnet_b0.ra_in1k", Timm, "efficientnet_b0_ra-3dd342df.pth"),
    row("efficientnet_b0.ra4_e3600_r224_in1k", "efficientnet_b0.ra4_e3600_r224_in1k", HuggingFace, "efficientnet_b0.ra4_e3600_r224_in1k/resolve/main/model.safetensors"),
    row("efficientnet_b1.ra4_e3600_r240_in1k", "efficientnet_b1.ra4_e3600_r240_in1k", HuggingFace, "efficientnet_b1.ra4_e3600_r240_in1k/resolve/main/model.safetensors"),
    row("efficientnet_b1.ft_in1k", "efficientnet_b1.ft_in1k", Timm, "efficientnet_b1-533bc792.pth"),
    row("efficientnet_b2.ra_in1k", "efficientnet_b2.ra_in1k", Timm, "efficientnet_b2_ra-bcdf34b7.pth"),
    row("efficientnet_b3.ra2_in1k", "efficientnet_b3.ra2_in1k", Timm, "efficientnet_b3_ra2-cf984f9c.pth"),
    row("efficientnet_b4.ra2_in1k", "efficientnet_b4.ra2_in1k", Timm, "efficientnet_b4_ra2_320-7eb33cd5.pth"),
    row("efficientnet_b5.sw_in12k_ft_in1k", "efficientnet_b5.sw_in12k_ft_in1k", HuggingFace, "efficientnet_b5.sw_in12k_ft_in1k/resolve/main/model.safetensors"),
    row("efficientnet_b5.sw_in12k", "efficientnet_b5.sw_in12k", HuggingFace, "efficientnet_b5.sw_in12k/resolve/main/model.safetensors"),
    row("efficientnet_es.ra_in1k", "efficientnet_es.ra_in1k", Timm, "efficientnet_es_ra-f111e99c.pth"),
    row("efficientnet_em.ra2_in1k", "efficientnet_em.ra2_in1k", Timm, "efficientnet_em_ra2-66250f76.pth"),
    row("efficientnet_el.ra_in1k", "efficientnet_el.ra_in1k", Timm, "efficientnet_el-3b455510.pth"),
    row("efficientnet_lite0.ra_in1k", "efficientnet_lite0.ra_in1k", Timm, "efficientnet_lite0_ra-37913777.pth"),
    row("tf_efficientnet_b0.ns_jft_in1k", "tf_efficientnet_b0.ns_jft_in1k", Timm, "tf_efficientnet_b0_ns-c0e6a31c.pth"),
    row("tf_efficientnet_b0.ap_in1k", "tf_efficientnet_b0.ap_in1k", Timm, "tf_efficientnet_b0_ap-f262efe1.pth"),
    row("tf_efficientnet_b0.aa_in1k", "tf_efficientnet_b0.aa_in1k", Timm, "tf_efficientnet_b0_aa-827b6e33.pth"),
    row("tf_efficientnet_b0.in1k", "tf_efficientnet_b0.in1k", Timm, "tf_efficientnet_b0-0af12548.pth"),
    row("tf_efficientnet_b1.ns_jft_in1k", "tf_efficientnet_b1.ns_jft_in1k", Timm, "tf_efficientnet_b1_ns-99dd0c41.pth"),
    row("tf_efficientnet_b1.ap_in1k", "tf_efficientnet_b1.ap_in1k", Timm, "tf_efficientnet_b1_ap-44ef0a3d.pth"),
    row("tf_efficientnet_b1.aa_in1k", "tf_efficientnet_b1.aa_in1k", Timm, "tf_efficientnet_b1_aa-ea7a6ee0.pth"),
    row("tf_efficientnet_b1.in1k", "tf_efficientnet_b1.in1k", Timm, "tf_efficientnet_b1-5c1377c4.pth"),
    row("tf_efficientnet_b2.ns_jft_in1k", "tf_efficientnet_b2.ns_jft_in1k", Timm, "tf_efficientnet_b2_ns-00306e48.pth"),
    row("tf_efficientnet_b2.ap_in1k", "tf_efficientnet_b2.ap_in1k", Timm, "tf_efficientnet_b2_ap-2f8e7636.pth"),
    row("tf_efficientnet_b2.aa_in1k", "tf_efficientnet_b2.aa_in1k", Timm, "tf_efficientnet_b2_aa-60c94f97.pth"),
    row("tf_efficientnet_b2.in1k", "tf_efficientnet_b2.in1k", Timm, "tf_efficientnet_b2-e393ef04.pth"),
    row("tf_efficientnet_b3.ns_jft_in1k", "tf_efficientnet_b3.ns_jft_in1k", Timm, "tf_efficientnet_b3_ns-9d44bf68.pth"),
    row("tf_efficientnet_b3.ap_in1k", "tf_efficientnet_b3.ap_in1k", Timm, "tf_efficientnet_b3_ap-aad25bdd.pth"),
    row("tf_efficientnet_b3.aa_in1k", "tf_efficientnet_b3.aa_in1k", Timm, "tf_efficientnet_b3_aa-84b4657e.pth"),
    row("tf_efficientnet_b3.in1k", "tf_efficientnet_b3.in1k", Timm, "tf_efficientnet_b3-e3bd6955.pth"),
    row("tf_efficientnet_b4.ns_jft_in1k", "tf_efficientnet_b4.ns_jft_in1k", Timm, "tf_efficientnet_b4_ns-d6313a46.pth"),
    row("tf_efficientnet_b4.ap_in1k", "tf_efficientnet_b4.ap_in1k", Timm, "tf_efficientnet_b4_ap-dedb23e6.pth"),
    row("tf_efficientnet_b4.aa_in1k", "tf_efficientnet_b4.aa_in1k", Timm, "tf_efficientnet_b4_aa-818f208c.pth"),
    row("tf_efficientnet_b4.in1k", "tf_efficientnet_b4.in1k", Timm, "tf_efficientnet_b4-74ee3bed.pth"),
    row("tf_efficientnet_b5.ns_jft_in1k", "tf_efficientnet_b5.ns_jft_in1k", Timm, "tf_efficientnet_b5_ns-6f26d0cf.pth"),
    row("tf_efficientnet_b5.ap_in1k", "tf_efficientnet_b5.ap_in1k", Timm, "tf_efficientnet_b5_ap-9e82fae8.pth"),
    row("tf_efficientnet_b5.ra_in1k", "tf_efficientnet_b5.ra_in1k", Timm, "tf_efficientnet_b5_ra-9a3e5369.pth"),
    row("tf_efficientnet_b5.aa_in1k", "tf_efficientnet_b5.aa_in1k", Timm, "tf_efficientnet_b5_aa-99018a74.pth"),
    row("tf_efficientnet_b5.in1k", "tf_efficientnet_b5.in1k", Timm, "tf_efficientnet_b5-c6949ce9.pth"),
    row("tf_efficientnet_b6.ns_jft_in1k", "tf_efficientnet_b6.ns_jft_in1k", Timm, "tf_efficientnet_b6_ns-51548356.pth"),
    row("tf_efficientnet_b6.ap_in1k", "tf_efficientnet_b6.ap_in1k", Timm, "tf_efficientnet_b6_ap-4ffb161f.pth"),
    row("tf_efficientnet_b6.aa_in1k", "tf_efficientnet_b6.aa_in1k", Timm, "tf_efficientnet_b6_aa-80ba17e4.pth"),
    row("tf_efficientnet_b7.ns_jft_in1k", "tf_efficientnet_b7.ns_jft_in1k", Timm, "tf_efficientnet_b7_ns-1dbc32de.pth"),
    row("tf_efficientnet_b7.ap_in1k", "tf_efficientnet_b7.ap_in1k", Timm, "tf_efficientnet_b7_ap-ddb28fec.pth"),
    row("tf_efficientnet_b7.ra_in1k", "tf_efficientnet_b7.ra_in1k", Timm, "tf_efficientnet_b7_ra-6c08e654.pth"),
    row("tf_efficientnet_b7.aa_in1k", "tf_efficientnet_b7.aa_in1k", Timm, "tf_efficientnet_b7_aa-076e3472.pth"),
    row("tf_efficientnet_l2.ns_jft_in1k_475", "tf_efficientnet_l2.ns_jft_in1k_475", Timm, "tf_efficientnet_l2_ns_475-bebbd00a.pth"),
    row("tf_efficientnet_l2.ns_jft_in1k", "tf_efficientnet_l2.ns_jft_in1k", Timm, "tf_efficientnet_l2_ns-df73bb44.pth"),
    row("tf_efficientnet_b8.ap_in1k", "tf_efficientnet_b8.ap_in1k", Timm, "tf_efficientnet_b8_ap-00e169fa.pth"),
    row("tf_efficientnet_b8.ra_in1k", "tf_efficientnet_b8.ra_in1k", Timm, "tf_efficientnet_b8_ra-572d5dd9.pth"),
    row("tf_efficientnet_es.in1k", "tf_efficientnet_es.in1k", Timm, "tf_efficientnet_es-ca1afbfe.pth"),
    row("tf_efficientnet_em.in1k", "tf_efficientnet_em.in1k", Timm, "tf_efficientnet_em-e78cfe58.pth"),
    row("tf_efficientnet_el.in1k", "tf_efficientnet_el.in1k", Timm, "tf_efficientnet_el-5143854e.pth"),
    row("tf_efficientnet_lite0.in1k", "tf_efficientnet_lite0.in1k", Timm, "tf_efficientnet_lite0-0aa007d2.pth"),
    row("tf_efficientnet_lite1.in1k", "tf_efficientnet_lite1.in1k", Timm, "tf_efficientnet_lite1-bde8b488.pth"),
    row("tf_efficientnet_lite2.in1k", "tf_efficientnet_lite2.in1k", Timm, "tf_efficientnet_lite2-dcccb7df.pth"),
    row("tf_efficientnet_lite3.in1k", "tf_efficientnet_lite3.in1k", Timm, "tf_efficientnet_lite3-b733e338.pth"),
    row("tf_efficientnet_lite4.in1k", "tf_efficientnet_lite4.in1k", Timm, "tf_efficientnet_lite4-741542c3.pth"),
    row("tf_efficientnetv2_s.in21k_ft_in1k", "tf_efficientnetv2_s.in21k_ft_in1k", TimmV2, "tf_efficientnetv2_s_21ft1k-d7dafa41.pth"),
    row("tf_efficientnetv2_s.in1k", "tf_efficientnetv2_s.in1k", TimmV2, "tf_efficientnetv2_s-eb54923e.pth"),
    row("tf_efficientnetv2_s.in21k", "tf_efficientnetv2_s.in21k", TimmV2, "tf_efficientnetv2_s_21k-6337ad01.pth"),
    row("tf_efficientnetv2_m.in21k_ft_in1k", "tf_efficientnetv2_m.in21k_ft_in1k", TimmV2, "tf_efficientnetv2_m_21ft1k-bf41664a.pth"),
    row("tf_efficientnetv2_m.in1k", "tf_efficientnetv2_m.in1k", TimmV2, "tf_efficientnetv2_m-cc09e0cd.pth"),
    row("tf_efficientnetv2_m.in21k", "tf_efficientnetv2_m.in21k", TimmV2, "tf_efficientnetv2_m_21k-361418a2.pth"),
    row("tf_efficientnetv2_l.in21k_ft_in1k", "tf_efficientnetv2_l.in21k_ft_in1k", TimmV2, "tf_efficientnetv2_l_21ft1k-60127a9d.pth"),
    row("tf_efficientnetv2_l.in1k", "tf_efficientnetv2_l.in1k", TimmV2, "tf_efficientnetv2_l-d664b728.pth"),
    row("tf_efficientnetv2_l.in21k", "tf_efficientnetv2_l.in21k", TimmV2, "tf_efficientnetv2_l_21k-91a19ec9.pth"),
    row("tf_efficientnetv2_xl.in21k_ft_in1k", "tf_efficientnetv2_xl.in21k_ft_in1k", TimmV2, "tf_efficientnetv2_xl_in21ft1k-06c35c48.pth"),
    row("tf_efficientnetv2_xl.in21k", "tf_efficientnetv2_xl.in21k", TimmV2, "tf_efficientnetv2_xl_in21k-fd7e8abf.pth"),
    row("tf_efficientnetv2_b0.in1k", "tf_efficientnetv2_b0.in1k", TimmV2, "tf_efficientnetv2_b0-c7cc451f.pth"),
    row("tf_efficientnetv2_b1.in1k", "tf_efficientnetv2_b1.in1k", TimmV2, "tf_efficientnetv2_b1-be6e41b0.pth"),
    row("tf_efficientnetv2_b2.in1k", "tf_efficientnetv2_b2.in1k", TimmV2, "tf_efficientnetv2_b2-847de54e.pth"),
    row("tf_efficientnetv2_b3.in21k_ft_in1k", "tf_efficientnetv2_b3.in21k_ft_in1k", HuggingFace, "tf_efficientnetv2_b3.in21k_ft_in1k/resolve/main/model.safetensors"),
    row("tf_efficientnetv2_b3.in1k", "tf_efficientnetv2_b3.in1k", TimmV2, "tf_efficientnetv2_b3-57773f13.pth"),
    row("tf_efficientnetv2_b3.in21k", "tf_efficientnetv2_b3.in21k", HuggingFace, "tf_efficientnetv2_b3.in21k/resolve/main/model.safetensors"),
    row("torchvision/efficientnet_b0", "torchvision/efficientnet_b0", Pytorch, "efficientnet_b0_rwightman-7f5810bc.pth"),
    row("torchvision/efficientnet_b1", "torchvision/efficientnet_b1", Pytorch, "efficientnet_b1_rwightman-bac287d4.pth"),
    row("torchvision/efficientnet_b2", "torchvision/efficientnet_b2", Pytorch, "efficientnet_b2_rwightman-c35c1473.pth"),
    row("torchvision/efficientnet_b3", "torchvision/efficientnet_b3", Pytorch, "efficientnet_b3_rwightman-b3899882.pth"),
    row("torchvision/efficientnet_b4", "torchvision/efficientnet_b4", Pytorch, "efficientnet_b4_rwightman-23ab8bcd.pth"),
    row("torchvision/efficientnet_b5", "torchvision/efficientnet_b5", Pytorch, "efficientnet_b5_lukemelas-1a07897c.pth"),
    row("torchvision/efficientnet_b6", "torchvision/efficientnet_b6", Pytorch, "efficientnet_b6_lukemelas-24a108a5.pth"),
    row("torchvision/efficientnet_b7", "torchvision/efficientnet_b7", Pytorch, "efficientnet_b7_lukemelas-c5b4e57e.pth"),
    row("torchvision/efficientnet_v2_s", "torchvision/efficientnet_v2_s", Pytorch, "efficientnet_v2_s-dd5fe13b.pth"),
    row("torchvision/efficientnet_v2_m", "torchvision/efficientnet_v2_m", Pytorch, "efficientnet_v2_m-dc08266a.pth"),
    row("torchvision/efficientnet_v2_l", "torchvision/efficientnet_v2_l", Pytorch, "efficientnet_v2_l-59c71312.pth"),
    row("zylo117/efficientdet-d0", "zylo117/efficientdet-d0", Zylo117, "1.0/efficientdet-d0.pth"),
    row("zylo117/efficientdet-d1", "zylo117/efficientdet-d1", Zylo117, "1.0/efficientdet-d1.pth"),
    row("zylo117/efficientdet-d2", "zylo117/efficientdet-d2", Zylo117, "1.0/efficientdet-d2.pth"),
    row("zylo117/efficientdet-d3", "zylo117/efficientdet-d3", Zylo117, "1.0/efficientdet-d3.pth"),
    row("zylo117/efficientdet-d4", "zylo117/efficientdet-d4", Zylo117, "1.0/efficientdet-d4.pth"),
    row("zylo117/efficientdet-d5", "zylo117/efficientdet-d5", Zylo117, "1.0/efficientdet-d5.pth"),
    row("zylo117/efficientdet-d6", "zylo117/efficientdet-d6", Zylo117, "1.0/efficientdet-d6.pth"),
    row("zylo117/efficientdet-d7", "zylo117/efficientdet-d7", Zylo117, "1.2/efficientdet-d7.pth"),
    row("zylo117/efficientdet-d8", "zylo117/efficientdet-d8", Zylo117, "1.2/efficientdet-d8.pth"),
    row("efficientdet_d0", "efficientdet_d0", Effdet, "efficientdet_d0-f3276ba8.pth"),
    row("efficientdet_d1", "efficientdet_d1", Effdet, "efficientdet_d1-bb7e98fe.pth"),
    row("tf_efficientdet_d0", "tf_efficientdet_d0", Effdet, "tf_efficientdet_d0_34-f153e0cf.pth"),
    row("tf_efficientdet_d1", "tf_efficientdet_d1", Effdet, "tf_efficientdet_d1_40-a30f94af.pth"),
    row("tf_efficientdet_d2", "tf_efficientdet_d2", Effdet, "tf_efficientdet_d2_43-8107aa99.pth"),
    row("tf_efficientdet_d3", "tf_efficientdet_d3", Effdet, "tf_efficientdet_d3_47-0b525f35.pth"),
    row("tf_efficientdet_d4", "tf_efficientdet_d4", Effdet, "tf_efficientdet_d4_49-f56376d9.pth"),
    row("tf_efficientdet_d5", "tf_efficientdet_d5", Effdet, "tf_efficientdet_d5_51-c79f9be6.pth"),
    row("tf_efficientdet_d6", "tf_efficientdet_d6", Effdet, "tf_efficientdet_d6_52-4eda3773.pth"),
    row("tf_efficientdet_d7", "tf_efficientdet_d7", Effdet, "tf_efficientdet_d7_53-6d1d7a95.pth"),
    row("tf_efficientdet_d7x", "tf_efficientdet_d7x", Effdet, "tf_efficientdet_d7x-f390b87c.pth"),
    row("tf_efficientdet_d0_ap", "tf_efficientdet_d0_ap", Effdet, "tf_efficientdet_d0_ap-d0cdbd0a.pth"),
    row("tf_efficientdet_d1_ap", "tf_efficientdet_d1_ap", Effdet, "tf_efficientdet_d1_ap-7721d075.pth"),
    row("tf_efficientdet_d2_ap", "tf_efficientdet_d2_ap", Effdet, "tf_efficientdet_d2_ap-a2995c19.pth"),
    row("tf_efficientdet_d3_ap", "tf_efficientdet_d3_ap", Effdet, "tf_efficientdet_d3_ap-e4a2feab.pth"),
    row("tf_efficientdet_d4_ap", "tf_efficientdet_d4_ap", Effdet, "tf_efficientdet_d4_ap-f601a5fc.pth"),
    row("tf_efficientdet_d5_ap", "tf_efficientdet_d5_ap", Effdet, "tf_efficientdet_d5_ap-3673ae5d.pth"),
    row("tf_efficientdet_lite0", "tf_efficientdet_lite0", Effdet, "tf_efficientdet_lite0-dfacfc78.pth"),
    row("tf_efficientdet_lite1", "tf_efficientdet_lite1", Effdet, "tf_efficientdet_lite1-6dc7ab30.pth"),
    row("tf_efficientdet_lite2", "tf_efficientdet_lite2", Effdet, "tf_efficientdet_lite2-86c5d55b.pth"),
    row("tf_efficientdet_lite3", "tf_efficientdet_lite3", Effdet, "tf_efficientdet_lite3-506852cb.pth"),
    row("tf_efficientdet_lite3x", "tf_efficientdet_lite3x", Effdet, "tf_efficientdet_lite3x-8404c57b.pth"),
    row("tf_efficientdet_lite4", "tf_efficientdet_lite4", Effdet, "tf_efficientdet_lite4-391ddabc.pth"),
];
