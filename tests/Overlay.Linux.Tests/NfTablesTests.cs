using System.Net;
using Overlay.Linux.Netfilter;
using Overlay.Linux.Tests.Support;

namespace Overlay.Linux.Tests;

/// <summary>What a transaction makes is compared with what nft(8) lists.</summary>
public sealed class NfTablesTests : IDisposable
{
    private const string Table = "test-pods";

    private readonly NetworkNamespace _space = new();
    private readonly NfTables _tables;

    public NfTablesTests() => _tables = _space.Run(() => new NfTables());

    public void Dispose()
    {
        _tables.Dispose();
        _space.Dispose();
    }

    [Fact]
    public void Commit_WholeTable_IsListedAsMeant()
    {
        _tables.Commit(WholeTable());

        string listed = string.Join('\n', _space.Execute("nft", "list", "table", "inet", Table).Split('\n').Select(line => line.Trim()));
        Assert.Contains("type ipv4_addr . ifname", listed, StringComparison.Ordinal);
        Assert.Contains("elements = { 10.244.1.2 . \"ovpa\",\n10.244.1.3 . \"ovpb\" }", listed, StringComparison.Ordinal);
        Assert.Contains("elements = { fd00:244:1::2 . \"ovpa\" }", listed, StringComparison.Ordinal);
        Assert.Contains("type filter hook prerouting priority raw; policy accept;", listed, StringComparison.Ordinal);
        Assert.Contains("iifname \"ovp*\" ip saddr . iifname != @sources4 counter packets 0 bytes 0 drop", listed, StringComparison.Ordinal);
        Assert.Contains("iifname \"ovp*\" ip6 saddr . iifname != @sources6 counter packets 0 bytes 0 drop", listed, StringComparison.Ordinal);
        Assert.Contains("type nat hook postrouting priority srcnat; policy accept;", listed, StringComparison.Ordinal);
        Assert.Contains("oifname \"overlay0\" accept", listed, StringComparison.Ordinal);
        Assert.Contains("ip daddr 10.0.0.0/9 accept", listed, StringComparison.Ordinal);
        Assert.Contains("ip6 saddr fd00:244:1::/65 masquerade", listed, StringComparison.Ordinal);
    }

    [Fact]
    public void Commit_SecondTime_ReplacesTheTable()
    {
        _tables.Commit(WholeTable());
        string first = _space.Execute("nft", "list", "ruleset");

        _tables.Commit(WholeTable());

        Assert.Equal(first, _space.Execute("nft", "list", "ruleset"));
    }

    [Fact]
    public void Commit_PartIsRefused_NothingChanges()
    {
        _tables.Commit(WholeTable());
        string before = _space.Execute("nft", "list", "ruleset");
        var change = new NfTransaction(NfFamily.Inet, Table);
        change.AddElements("sources4", [(IPAddress.Parse("10.244.1.9"), "ovpz")]);
        change.DeleteElements("sources6", [(IPAddress.Parse("fd00::9"), "ovpz")]);

        LinuxException refused = Assert.Throws<LinuxException>(() => _tables.Commit(change));

        Assert.Equal(2, refused.Errno);
        Assert.Equal(before, _space.Execute("nft", "list", "ruleset"));
    }

    [Fact]
    public void Commit_ThousandElements_AreAllThereAndGo()
    {
        (IPAddress, string)[] many = [.. Enumerable.Range(0, 1000).Select(i => (new IPAddress([10, 244, (byte)(i >> 8), (byte)i]), $"ovp{i}"))];
        _tables.Commit(WholeTable());
        var add = new NfTransaction(NfFamily.Inet, Table);
        add.AddElements("sources4", many.Except([(IPAddress.Parse("10.244.1.2"), "ovpa")]));
        _tables.Commit(add);
        Assert.Equal(1002, _space.Execute("nft", "list", "set", "inet", Table, "sources4").Split("\"ovp").Length - 1);

        var delete = new NfTransaction(NfFamily.Inet, Table);
        delete.DeleteElements("sources4", many);
        _tables.Commit(delete);
        Assert.Equal(2, _space.Execute("nft", "list", "set", "inet", Table, "sources4").Split("\"ovp").Length - 1);
    }

    [Fact]
    public void Lists_ChangedByOthers_TellIt()
    {
        _tables.Commit(WholeTable());
        uint generation = _tables.Generation;
        IReadOnlyList<string> rules = _tables.ListRules(NfFamily.Inet, Table);
        Assert.Equal(5, rules.Count);
        Assert.Equal(
            [(IPAddress.Parse("10.244.1.2"), "ovpa"), (IPAddress.Parse("10.244.1.3"), "ovpb")],
            _tables.ListElements(NfFamily.Inet, Table, "sources4").OrderBy(each => each.Interface));
        Assert.Equal((IPAddress.Parse("fd00:244:1::2"), "ovpa"), Assert.Single(_tables.ListElements(NfFamily.Inet, Table, "sources6")));
        Assert.Equal(generation, _tables.Generation);

        _space.Execute("nft", "delete", "element", "inet", Table, "sources4", "{ 10.244.1.3 . \"ovpb\" }");
        Assert.Single(_tables.ListElements(NfFamily.Inet, Table, "sources4"));
        Assert.NotEqual(generation, _tables.Generation);
        _space.Execute("nft", "flush", "chain", "inet", Table, "postrouting");
        Assert.Equal(2, _tables.ListRules(NfFamily.Inet, Table).Count);
        _space.Execute("nft", "flush", "ruleset");
        Assert.Empty(_tables.ListRules(NfFamily.Inet, Table));
        Assert.Empty(_tables.ListElements(NfFamily.Inet, Table, "sources4"));
    }

    [Fact]
    public void Commit_BridgeFamily_ListsArpAndAddresses()
    {
        var transaction = new NfTransaction(NfFamily.Bridge, Table).ReplaceTable();
        transaction.AddSourceSet("sources4", isIPv6: false, 1);
        transaction.AddChain(new NfChain("prerouting", "filter", NfHook.Prerouting, -300));
        transaction.AddRule("prerouting", new NfRule().FromInterface("ovp").HasEtherType(0x0806).ArpSenderNotIn("sources4", 1).Counted().Drop());
        transaction.AddRule("prerouting", new NfRule().FromInterface("ovp").HasEtherType(0x0800).SourceNotIn("sources4", isIPv6: false, 1).Drop());
        transaction.AddSourceSet("sources6", isIPv6: true, 2);
        transaction.AddRule("prerouting", new NfRule().HasEtherType(0x86dd).IsIcmpv6(136).TargetNotIn(IPNetwork.Parse("fe80::/10")).TargetNotIn("sources6", 2).Drop());
        _tables.Commit(transaction);

        string listed = _space.Execute("nft", "list", "table", "bridge", Table);
        Assert.Contains("arp saddr ip . iifname != @sources4", listed, StringComparison.Ordinal);
        Assert.Contains("ip saddr . iifname != @sources4 drop", listed, StringComparison.Ordinal);
        Assert.Matches("icmpv6 type nd-neighbor-advert .* != .*iifname != @sources6 drop", listed);
    }

    private static NfTransaction WholeTable()
    {
        NfTransaction transaction = new NfTransaction(NfFamily.Inet, Table).ReplaceTable();
        transaction.AddSourceSet("sources4", isIPv6: false, 1);
        transaction.AddSourceSet("sources6", isIPv6: true, 2);
        transaction.AddElements("sources4", [(IPAddress.Parse("10.244.1.2"), "ovpa"), (IPAddress.Parse("10.244.1.3"), "ovpb")]);
        transaction.AddElements("sources6", [(IPAddress.Parse("fd00:244:1::2"), "ovpa")]);
        transaction.AddChain(new NfChain("prerouting", "filter", NfHook.Prerouting, -300));
        transaction.AddRule("prerouting", new NfRule().FromInterface("ovp").IsIp(false).SourceNotIn("sources4", isIPv6: false, 1).Counted().Drop());
        transaction.AddRule("prerouting", new NfRule().FromInterface("ovp").IsIp(true).SourceNotIn("sources6", isIPv6: true, 2).Counted().Drop());
        transaction.AddChain(new NfChain("postrouting", "nat", NfHook.Postrouting, 100));
        transaction.AddRule("postrouting", new NfRule().ToInterface("overlay0\0").Accept());
        transaction.AddRule("postrouting", new NfRule().To(IPNetwork.Parse("10.0.0.0/9")).Accept());
        transaction.AddRule("postrouting", new NfRule().From(IPNetwork.Parse("fd00:244:1::/65")).Masquerade());
        return transaction;
    }
}
