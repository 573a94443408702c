using Overlay.Linux.Tests.Support;

namespace Overlay.Linux.Tests;

public sealed class SysctlTests : IDisposable
{
    private const string Key = "net/ipv4/conf/lo/rp_filter";

    private readonly NetworkNamespace _space = new();

    public void Dispose() => _space.Dispose();

    [Fact]
    public void TrySet_OtherValue_IsReadBack() => _space.Run(() =>
    {
        string other = Sysctl.Read(Key) == "1" ? "2" : "1";
        Assert.Null(Sysctl.TrySet(Key, other));
        Assert.Equal(other, Sysctl.Read(Key));
    });

    [Fact]
    public void Read_Unknown_IsNull() => Assert.Null(Sysctl.Read("net/ipv4/conf/absent0/rp_filter"));

    [Fact]
    public void TrySet_Unknown_DoesNothing()
    {
        Assert.Null(Sysctl.TrySet("net/absent", "1"));
        Assert.Null(Sysctl.Read("net/absent"));
    }

    [Fact]
    public void TrySet_RefusedValue_SaysWhichAndStays() => _space.Run(() =>
    {
        string before = Sysctl.Read(Key)!;
        string? refusal = Sysctl.TrySet(Key, "no number");
        Assert.StartsWith($"{Key} stays {before}, where no number is wanted: ", refusal, StringComparison.Ordinal);
        Assert.Equal(before, Sysctl.Read(Key));
    });
}
