using Overlay.Linux.Tests.Support;

namespace Overlay.Linux.Tests;

public sealed class SysctlTests : IDisposable
{
    private const string Key = "net/ipv4/conf/lo/rp_filter";

    private readonly NetworkNamespace _space = new();

    public void Dispose() => _space.Dispose();

    [Fact]
    public void Set_ThenDispose_RestoresTheFirstValue() => _space.Run(() =>
    {
        string before = Sysctl.Read(Key)!;
        string other = before == "1" ? "2" : "1";
        using (var sysctl = new Sysctl())
        {
            sysctl.Set(Key, before);
            Assert.Empty(sysctl.Changes);
            sysctl.Set(Key, other);
            sysctl.Set(Key, "0");
            Assert.Equal("0", Sysctl.Read(Key));
            Assert.Equal(new SysctlChange(Key, before, other), sysctl.Changes[0]);
        }
        Assert.Equal(before, Sysctl.Read(Key));
    });

    [Fact]
    public void Dispose_ChangedBySomebodyElseSince_Stays() => _space.Run(() =>
    {
        string other = Sysctl.Read(Key) == "1" ? "2" : "1";
        using (var sysctl = new Sysctl())
        {
            sysctl.Set(Key, other);
            File.WriteAllText($"/proc/sys/{Key}", "0");
        }
        Assert.Equal("0", Sysctl.Read(Key));
    });

    [Fact]
    public void Read_Unknown_IsNull() => Assert.Null(Sysctl.Read("net/ipv4/conf/absent0/rp_filter"));

    [Fact]
    public void Set_Unknown_Throws()
    {
        using var sysctl = new Sysctl();
        Assert.Contains("net/absent", Assert.Throws<FileNotFoundException>(() => sysctl.Set("net/absent", "1")).Message, StringComparison.Ordinal);
    }
}
