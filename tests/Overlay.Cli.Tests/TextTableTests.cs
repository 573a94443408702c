using Overlay.Cli.Terminals;

namespace Overlay.Cli.Tests;

public sealed class TextTableTests
{
    private static readonly TextTable Table = Make();

    [Fact]
    public void Write_NoTerminal_OneLineARow()
    {
        using var output = new ScreenText(null) { NewLine = "\n" };

        Table.Write(output);

        Assert.Equal("""
              REASON           PACKETS  MEANING
              egress-no-route       12  no route covers the destination of the packet
              egress-too-big         3  too big

            """, output.ToString());
    }

    [Fact]
    public void Write_NarrowTerminal_BreaksTextWithinItsColumn()
    {
        using var output = new ScreenText(46) { NewLine = "\n" };

        Table.Write(output);

        Assert.Equal("""
              REASON           PACKETS  MEANING
              egress-no-route       12  no route covers
                                        the destination of
                                        the packet
              egress-too-big         3  too big

            """, output.ToString());
        Assert.All(output.ToString().Split('\n'), line => Assert.InRange(line.Length, 0, 46));
    }

    [Fact]
    public void Write_NumbersUnderALongHeading_BreaksTheHeadingAlone()
    {
        var table = new TextTable(TextTable.Text("PEER"), TextTable.Number("OUT PACKETS/S"));
        table.Add("node-b", "12,345");
        using var output = new ScreenText(20) { NewLine = "\n" };

        table.Write(output);

        Assert.Equal("  PEER           OUT\n           PACKETS/S\n  node-b      12,345\n", output.ToString());
    }

    [Fact]
    public void Write_WordsLongerThanTheColumn_AreBrokenAnywhereAndLoseNothing()
    {
        var table = new TextTable(TextTable.Text("MAC"));
        table.Add("02:00:00:00:00:01");
        using var output = new ScreenText(12) { NewLine = "\n" };

        table.Write(output);

        Assert.Equal("  MAC\n  02:00:00:0\n  0:00:01\n", output.ToString());
    }

    [Fact]
    public void Write_NoRoomForAllWords_LeavesOutColumnsOfTheHighestRankAndNamesThem()
    {
        var table = new TextTable(TextTable.Text("NAME"), TextTable.Text("MAC").Yields(2), TextTable.Number("SENT"), TextTable.Text("BY").Yields(1));
        table.Add("node-b", "02:00:00:00:00:01", "12,345", "probes");
        using var output = new ScreenText(30) { NewLine = "\n" };
        using var narrower = new ScreenText(20) { NewLine = "\n" };
        using var piped = new ScreenText(null) { NewLine = "\n" };

        table.Write(output);
        table.Write(narrower, namesMissing: false);
        table.Write(piped);

        Assert.Equal("  NAME      SENT  BY\n  node-b  12,345  probes\n  no room for MAC; see --json\n", output.ToString());
        Assert.Equal("  NAME      SENT\n  node-b  12,345\n", narrower.ToString());
        Assert.Equal("  NAME    MAC                  SENT  BY\n  node-b  02:00:00:00:00:01  12,345  probes\n", piped.ToString());
    }

    private static TextTable Make()
    {
        var table = new TextTable(TextTable.Text("REASON"), TextTable.Number("PACKETS"), TextTable.Text("MEANING"));
        table.Add("egress-no-route", "12", "no route covers the destination of the packet");
        table.Add("egress-too-big", "3", "too big");
        return table;
    }
}
