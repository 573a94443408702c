using Overlay.Cli.Terminals;

namespace Overlay.Cli;

/// <summary>
/// Rows under headings, columns aligned with two spaces between them. On a terminal that is too narrow, text and headings are broken between words
/// into several lines of their column; where that is not enough, columns that may go are left out, and only then are words broken. Elsewhere each row
/// is one line.
/// </summary>
internal sealed class TextTable(params TextTable.Column[] columns)
{
    private const string Indent = "  ";
    private const string Gap = "  ";

    /// <summary>No text is broken narrower, for a word of an address or two should fit.</summary>
    private const int LeastWidth = 10;

    /// <summary>Text is broken narrower only where no other column may go.</summary>
    private const int ReadableWidth = 16;

    private readonly List<string[]> _rows = [];

    /// <param name="Heading">Printed over the column.</param>
    /// <param name="IsNumber">Numbers stand to the right.</param>
    /// <param name="Rank">Of the columns that may be left out the highest goes first; 0: it stays.</param>
    internal readonly record struct Column(string Heading, bool IsNumber, int Rank = 0)
    {
        /// <summary>It may be left out where there is no room.</summary>
        public Column Yields(int rank) => this with { Rank = rank };
    }

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

    /// <param name="output">Gets it.</param>
    /// <param name="namesMissing">Whether a line tells which columns were left out.</param>
    public void Write(TextWriter output, bool namesMissing = true)
    {
        string[] headings = [.. columns.Select(column => column.Heading)];
        int[] widths = [.. columns.Select((column, index) => _rows.Append(headings).Max(row => row[index].Length))];
        List<int> shown = [.. Enumerable.Range(0, columns.Length)];
        if (Terminal.WidthOf(output) is { } most)
        {
            int[] words = [.. columns.Select((column, index) => Words(column, index))];
            LeaveOut(shown, words, most);
            Narrow(widths, words, shown, most);
            Narrow(widths, [.. columns.Select((column, index) => column.IsNumber ? words[index] : Math.Max(LeastWidth, Longest(column.Heading)))], shown, most);
        }
        foreach (string[] row in _rows.Prepend(headings)) WriteRow(row, shown, widths, output);
        if (shown.Count < columns.Length && namesMissing)
            output.WriteLine($"{Indent}no room for {string.Join(", ", headings.Where((_, index) => !shown.Contains(index)))}; see --json");
    }

    private static int Total(List<int> shown, int[] widths) => Indent.Length + shown.Sum(column => widths[column]) + (Gap.Length * (shown.Count - 1));

    private void LeaveOut(List<int> shown, int[] words, int most)
    {
        while (Total(shown, words) > most)
        {
            int first = shown.MaxBy(column => columns[column].Rank);
            if (columns[first].Rank == 0) return;
            shown.Remove(first);
        }
    }

    /// <summary>Takes from the widest columns until the table fits, or none can give more.</summary>
    private static void Narrow(int[] widths, int[] least, List<int> shown, int most)
    {
        for (int excess = Total(shown, widths) - most; excess > 0; excess--)
        {
            int widest = -1;
            foreach (int i in shown)
            {
                if (widths[i] > least[i] && (widest < 0 || widths[i] > widths[widest])) widest = i;
            }
            if (widest < 0) return;
            widths[widest]--;
        }
    }

    /// <summary>Numbers are never broken, only what stands above them.</summary>
    private int Words(Column column, int index) =>
        _rows.Select(row => column.IsNumber ? row[index].Length : Math.Max(Longest(row[index]), Math.Min(row[index].Length, ReadableWidth))).Append(Longest(column.Heading)).Max();

    private static int Longest(string text) => text.Split(' ').Max(word => word.Length);

    private void WriteRow(string[] row, List<int> shown, int[] widths, TextWriter output)
    {
        string[][] cells = [.. shown.Select(i => row[i].Length <= widths[i] ? [row[i]] : Break(row[i], widths[i]).ToArray())];
        int lines = cells.Max(cell => cell.Length);
        for (int line = 0; line < lines; line++)
        {
            IEnumerable<string> parts = cells.Select((cell, i) => Aligned(line < cell.Length ? cell[line] : "", shown[i], widths[shown[i]]));
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
