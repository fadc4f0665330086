// Sends the answer of response_mode=form_post on its way; without JavaScript the person presses
// the button.
document.getElementById("answer-form").submit();
