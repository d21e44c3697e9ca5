//! Certificates for one cluster: an authority of its own, forgotten with the cluster.
//!
//! All are X.509 v3 with P-256 keys in PKCS#8: rustls refuses version 1.

use std::net::{IpAddr, Ipv4Addr};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("failed to make a certificate")]
pub(crate) struct PkiError(#[from] rcgen::Error);

/// A certificate with its key, as PEM.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The certificate.
    pub(crate) certificate: String,
    /// Its private key.
    pub(crate) key: String,
}

/// Everything that a control plane needs.
#[derive(Debug)]
pub(crate) struct Pki {
    /// The authority's certificate.
    pub(crate) authority: String,
    /// The API server's.
    pub(crate) server: Pair,
    /// A member of `system:masters`.
    pub(crate) admin: Pair,
    /// The controller manager's.
    pub(crate) controllers: Pair,
    /// Signs the tokens of ServiceAccounts.
    pub(crate) tokens_key: String,
    /// Checks them.
    pub(crate) tokens_public: String,
}

impl Pki {
    /// Makes all of it anew.
    pub(crate) fn generate(service_address: Ipv4Addr) -> Result<Self, PkiError> {
        let mut params = named("saga-operator test authority", None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

        let mut server = named("kube-apiserver", None);
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"] {
            server.subject_alt_names.push(SanType::DnsName(name.try_into()?));
        }
        for address in [Ipv4Addr::LOCALHOST, service_address] {
            server.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(address)));
        }

        let tokens = KeyPair::generate()?;
        Ok(Self {
            server: issue(server, &authority)?,
            admin: issue(client("admin", Some("system:masters")), &authority)?,
            controllers: issue(client("system:kube-controller-manager", None), &authority)?,
            tokens_key: tokens.serialize_pem(),
            tokens_public: tokens.public_key_pem(),
            authority: authority.pem(),
        })
    }
}

fn named(common_name: &str, organization: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params
}

/// For Kubernetes the common name is the user and the organization is the group.
fn client(user: &str, group: Option<&str>) -> CertificateParams {
    let mut params = named(user, group);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn issue(mut params: CertificateParams, authority: &CertifiedIssuer<'_, KeyPair>) -> Result<Pair, PkiError> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}
