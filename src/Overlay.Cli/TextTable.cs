using Overlay.Cli.Terminals;

namespace Overlay.Cli;

/// <summary>
/// Rows under headings, columns aligned with two spaces between them. On a terminal that is too narrow, text and headings are broken into several
/// lines of their column; elsewhere each row is one line.
/// </summary>
internal sealed class TextTable(params TextTable.Column[] columns)
{
    private const string Indent = "  ";
    private const string Gap = "  ";

    /// <summary>No text is broken narrower, for a word of an address or two should fit.</summary>
    private const int LeastWidth = 10;

    private readonly List<string[]> _rows = [];

    /// <param name="Heading">Printed over the column.</param>
    /// <param name="IsNumber">Numbers stand to the right.</param>
    internal readonly record struct Column(string Heading, bool IsNumber);

    public static Column Text(string heading) => new(heading, false);

    public static Column Number(string heading) => new(heading, true);

    /// <param name="cells">One a column.</param>
    public void Add(params string[] cells)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(cells.Length, columns.Length);
        _rows.Add([.. cells.Select(Printable)]);
    }

    /// <summary>Names come from others: what moves the cursor of a terminal is not sent to it.</summary>
    private static string Printable(string cell) =>
        cell.Any(char.IsControl) ? string.Concat(cell.Select(letter => char.IsControl(letter) ? '\ufffd' : letter)) : cell;

    public void Write(TextWriter output)
    {
        string[] headings = [.. columns.Select(column => column.Heading)];
        int[] widths = [.. columns.Select((column, index) => _rows.Append(headings).Max(row => row[index].Length))];
        if (Terminal.WidthOf(output) is { } most) Narrow(widths, most);
        foreach (string[] row in _rows.Prepend(headings)) WriteRow(row, widths, output);
    }

    /// <summary>Takes from the widest columns until the table fits, or none can give more.</summary>
    private void Narrow(int[] widths, int most)
    {
        int[] least = [.. columns.Select((column, index) => Least(column, index))];
        int excess = Indent.Length + widths.Sum() + (Gap.Length * (widths.Length - 1)) - most;
        while (excess-- > 0)
        {
            int widest = -1;
            for (int i = 0; i < widths.Length; i++)
            {
                if (widths[i] > least[i] && (widest < 0 || widths[i] > widths[widest])) widest = i;
            }
            if (widest < 0) return;
            widths[widest]--;
        }
    }

    /// <summary>Numbers are never broken, only what stands above them.</summary>
    private int Least(Column column, int index)
    {
        int heading = column.Heading.Split(' ').Max(word => word.Length);
        return column.IsNumber ? _rows.Select(row => row[index].Length).Append(heading).Max() : Math.Max(LeastWidth, heading);
    }

    private void WriteRow(string[] row, int[] widths, TextWriter output)
    {
        string[][] cells = [.. row.Select((cell, i) => cell.Length <= widths[i] ? [cell] : Break(cell, widths[i]).ToArray())];
        int lines = cells.Max(cell => cell.Length);
        for (int line = 0; line < lines; line++)
        {
            IEnumerable<string> parts = cells.Select((cell, i) => Aligned(line < cell.Length ? cell[line] : "", i, widths[i]));
            output.WriteLine((Indent + string.Join(Gap, parts)).TrimEnd());
        }
    }

    private string Aligned(string text, int column, int width) => columns[column].IsNumber ? text.PadLeft(width) : text.PadRight(width);

    /// <summary>Between words where there are any, else anywhere.</summary>
    private static IEnumerable<string> Break(string text, int width)
    {
        string rest = text;
        while (rest.Length > width)
        {
            int blank = rest.LastIndexOf(' ', width);
            int end = blank > 0 ? blank : width;
            yield return rest[..end];
            rest = rest[end..].TrimStart();
        }
        yield return rest;
    }
}
