using Overlay.Linux.Tests.Support;

namespace Overlay.Linux.Tests;

public sealed class SysctlTests : IDisposable
{
    private const string Key = "net/ipv4/conf/lo/rp_filter";

    private readonly NetworkNamespace _space = new();

    public void Dispose() => _space.Dispose();

    [Fact]
    public void Set_OtherValue_IsReadBack() => _space.Run(() =>
    {
        string other = Sysctl.Read(Key) == "1" ? "2" : "1";
        Sysctl.Set(Key, other);
        Assert.Equal(other, Sysctl.Read(Key));
    });

    [Fact]
    public void Read_Unknown_IsNull() => Assert.Null(Sysctl.Read("net/ipv4/conf/absent0/rp_filter"));

    [Fact]
    public void Set_Unknown_DoesNothing()
    {
        Sysctl.Set("net/absent", "1");
        Assert.Null(Sysctl.Read("net/absent"));
    }
}
