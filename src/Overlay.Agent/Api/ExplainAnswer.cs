using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;
using Overlay.Agent.Explaining;
using Overlay.Agent.Status;
using Overlay.Rpc;

namespace Overlay.Agent.Api;

/// <summary>Answers <see cref="LocalApi.ExplainPath"/> and <see cref="LocalApi.ExplainArrivalPath"/>.</summary>
internal static class ExplainAnswer
{
    public static Task WriteAsync(HttpContext context, StatusReporter reporter) => WriteAsync(
        context, StatusJson.Default.ExplainQuestion, question => reporter.Explainer.Explain(question), StatusJson.Default.ExplanationDocument);

    public static Task WriteArrivalAsync(HttpContext context, StatusReporter reporter) => WriteAsync(
        context, StatusJson.Default.ArrivalQuestion, question => reporter.Explainer.ExplainArrival(question), StatusJson.Default.ArrivalDocument);

    private static async Task WriteAsync<TQuestion, TAnswer>(
        HttpContext context, JsonTypeInfo<TQuestion> questionType, Func<TQuestion, TAnswer> explain, JsonTypeInfo<TAnswer> answerType)
        where TQuestion : class
    {
        try
        {
            TQuestion? question = await JsonSerializer.DeserializeAsync(context.Request.Body, questionType, context.RequestAborted).ConfigureAwait(false);
            if (question is null) throw new QuestionRefusedException("nothing was asked");
            await LocalApiServer.AnswerAsync(context, explain(question), answerType).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is QuestionRefusedException or JsonException)
        {
            await LocalApiServer.RefuseAsync(context, exception.Message).ConfigureAwait(false);
        }
    }
}
