namespace Overlay.Control.Tests.Stores;

public sealed class EtcdStoreTests : StoreConformance, IClassFixture<EtcdLab>
{
    public EtcdStoreTests(EtcdLab lab)
        : base(lab) => lab.NextPrefix();
}
